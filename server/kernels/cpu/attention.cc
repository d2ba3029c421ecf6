#include "server/kernels/cpu/attention.h"

#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu {
namespace {

// Of one worker: simd/attention.h's AttentionScratch for the widest vectors.
size_t WorkerBytes(int max_tokens, int head_size) {
  const size_t keys = RoundUp(max_tokens, kMaxLanes);
  const size_t columns = RoundUp(head_size, kMaxLanes);
  const size_t words =
      keys + kMaxBlockRows * keys + kMaxBlockRows * columns + keys * columns + keys * columns;
  return RoundUp(words * sizeof(float), 64);
}

}  // namespace

size_t AttentionScratchBytes(int max_tokens, int head_size, int workers) {
  return WorkerBytes(max_tokens, head_size) * workers;
}

void Attention(const AttentionArgs& args, const Compute& compute) {
  int max_tokens = 0;
  for (const Segment& segment : args.segments) {
    if (segment.tokens > max_tokens) max_tokens = segment.tokens;
  }
  const size_t worker_bytes = WorkerBytes(max_tokens, args.head_size);
  const SimdKernels& kernels = KernelsOf(compute.instructions);
  const int images = static_cast<int>(args.segments.size());
  // A head's keys and values are packed anew for each of its parts.
  const int parts = PartsForWorkers(images * args.heads, compute.parallel.workers());

  compute.parallel(images * args.heads * parts, [&](int task, int worker) {
    const int part = task % parts;
    const int head = task / parts % args.heads;
    const int image = task / parts / args.heads;
    const Segment& segment = args.segments[image];
    const int queries = args.query_rows > 0 ? args.query_rows : segment.tokens;
    const int first = args.query_rows > 0 ? image * args.query_rows : segment.offset;
    const int from = static_cast<int>(static_cast<int64_t>(queries) * part / parts);
    const int to = static_cast<int>(static_cast<int64_t>(queries) * (part + 1) / parts);
    if (from == to) return;
    kernels.attend(args,
                   {.head = head,
                    .first_key = segment.offset,
                    .keys = segment.tokens,
                    .first_query = first + from,
                    .queries = to - from},
                   static_cast<std::byte*>(args.scratch) + worker * worker_bytes);
  });
}

}  // namespace tome::kernels::cpu
