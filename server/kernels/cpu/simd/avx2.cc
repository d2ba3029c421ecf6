#define TOME_SIMD avx2
#include "server/kernels/cpu/simd/all.h"

namespace tome::kernels::cpu {

const SimdKernels kAvx2Kernels = TOME_SIMD::kKernels;

}  // namespace tome::kernels::cpu
