#ifndef TOME_SERVER_KERNELS_CPU_SIMD_KERNELS_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_KERNELS_H_

#include <cstddef>

#include "server/kernels/cpu/activation.h"
#include "server/kernels/cpu/attention.h"
#include "server/kernels/cpu/embed.h"
#include "server/kernels/cpu/instruction_set.h"
#include "server/kernels/cpu/layer_norm.h"
#include "server/kernels/cpu/merge_tokens.h"
#include "server/kernels/cpu/token_match.h"

namespace tome::kernels::cpu {

// The widest vector of any instruction set, in floats, and the most rows that one block multiplies:
// what scratch sizes are rounded up to.
inline constexpr int kMaxLanes = 16;
inline constexpr int kMaxBlockRows = 8;

constexpr size_t RoundUp(size_t count, size_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Some query rows of one head of one image.
struct AttentionTask {
  int head = 0;
  int first_key = 0;  // packed rows of the image's keys
  int keys = 0;
  int first_query = 0;  // rows of q and out
  int queries = 0;
};

// Where MatchTokens works, and the part of it that is one image's.
struct MatchScratch {
  float* metric_a = nullptr;    // [rows of A, head_size] normalised
  float* panels_b = nullptr;    // unprotected rows of B, as dot.h's panels
  float* best_score = nullptr;  // [rows of A]
  int* best_b = nullptr;        // [rows of A], counted from the first unprotected row of B
};

// The part of a kernel that runs in one task, as compiled for one instruction set. Row ranges are
// [first, last).
struct SimdKernels {
  // `scratch`: one worker's.
  void (*attend)(const AttentionArgs& args, const AttentionTask& task, void* scratch);
  // Of one image's tokens, counted from its first.
  void (*metric)(const TokenMatchArgs& args, const Segment& segment, int first, int last,
                 const MatchScratch& scratch);
  // Of one image's rows of A.
  void (*best_match)(const TokenMatchArgs& args, const Segment& segment, int first, int last,
                     const MatchScratch& scratch);
  void (*merge_rows)(const MergeTokensArgs& args, int first, int last);
  void (*norm_rows)(const LayerNormArgs& args, int first, int last);
  void (*activate_rows)(const ActivationArgs& args, int first, int last);
  void (*assemble_rows)(const AssemblePatchesArgs& args, int first, int last);
  // out[i] = e^in[i]: what the softmax is made of, for its test.
  void (*exponentials)(const float* in, float* out, int count);
};

extern const SimdKernels kPortableKernels;
extern const SimdKernels kAvx2Kernels;
extern const SimdKernels kAvx512Kernels;
extern const SimdKernels kAvx512BFloat16Kernels;

inline const SimdKernels& KernelsOf(InstructionSet set) {
  switch (set) {
    case InstructionSet::kPortable:
      return kPortableKernels;
    case InstructionSet::kAvx2:
      return kAvx2Kernels;
    case InstructionSet::kAvx512:
      return kAvx512Kernels;
    case InstructionSet::kAvx512BFloat16:
      break;
  }
  return kAvx512BFloat16Kernels;
}

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_KERNELS_H_
