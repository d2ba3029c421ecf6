#include "server/kernels/pool.h"
#include "server/kernels/row.cuh"

namespace tome::kernels {
namespace {

// What the pooled vector is made of: rows [first, last) of the image, each by its weight.
__device__ __forceinline__ float RowWeight(Pooling pooling, const float* size, int row) {
  return pooling == Pooling::kMeanOfPatches && size != nullptr ? size[row] : 1.0f;
}

constexpr int kWarps = 16;

// A block an image. Warp w sums rows w, w + kWarps, ..; the first warp then sums the warps' sums. A
// norm before the pooling is one of the rows until there; its weight and bias, the same for all,
// follow. Shared memory: [kWarps, width + 1] partial sums and their weights.
template <typename T, int kSteps>
__global__ void __launch_bounds__(kWarps* kWarp)
    PoolKernel(const T* x, const float* size, const Segment* segments, Pooling pooling,
               PoolNorm norm, const float* norm_weight, const float* norm_bias, float epsilon,
               int prefix_tokens, int width, float* out) {
  const int image = static_cast<int>(blockIdx.x);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const Segment segment = segments[image];
  const int first = pooling == Pooling::kMeanOfPatches ? prefix_tokens : 0;
  const int last = pooling == Pooling::kMeanOfPatches       ? segment.tokens
                   : pooling == Pooling::kMeanOfClassTokens ? 2
                                                            : 1;
  auto* sums = reinterpret_cast<float*>(SharedMemory());
  float* weights = sums + kWarps * width;

  Row<kSteps> sum;
  sum.Clear();
  float total = 0;
  for (int row = segment.offset + first + warp; row < segment.offset + last; row += kWarps) {
    Row<kSteps> values;
    values.Load(x + static_cast<int64_t>(row) * width, width);
    if (norm == PoolNorm::kBefore) values.Standardize(epsilon, width);
    const float weight = RowWeight(pooling, size, row);
    sum.AddScaled(values, weight);
    total += weight;
  }
  sum.Store(sums + warp * width, width);
  if (threadIdx.x % kWarp == 0) weights[warp] = total;
  __syncthreads();
  if (warp > 0) return;

  for (int other = 1; other < kWarps; ++other) {
    sum.Add(sums + other * width, width);
    total += weights[other];
  }
  sum.DivideBy(total);
  if (norm == PoolNorm::kAfter) sum.Standardize(epsilon, width);
  if (norm != PoolNorm::kNone) sum.Affine(norm_weight, norm_bias, width);
  sum.Store(out + static_cast<int64_t>(image) * width, width);
}

}  // namespace

cudaError_t Pool(const PoolArgs& args, cudaStream_t stream) {
  if (!IsRowWidth(args.width) || args.images < 0 || args.prefix_tokens < 0) {
    return cudaErrorInvalidValue;
  }
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned int>(args.images)),
      .threads = kWarps * kWarp,
      .shared_bytes = kWarps * (static_cast<size_t>(args.width) + 1) * sizeof(float)};
  return ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    return ForRowSteps(args.width, [&]<int kSteps>(std::integral_constant<int, kSteps>) {
      return Launch(PoolKernel<T, kSteps>, shape, stream, static_cast<const T*>(args.x), args.size,
                    args.segments, args.pooling, args.norm, args.norm_weight, args.norm_bias,
                    args.epsilon, args.prefix_tokens, args.width, args.out);
    });
  });
}

}  // namespace tome::kernels
