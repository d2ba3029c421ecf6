#define TOME_SIMD avx512_bfloat16
#include "server/kernels/cpu/simd/all.h"

namespace tome::kernels::cpu {

const SimdKernels kAvx512BFloat16Kernels = TOME_SIMD::kKernels;

}  // namespace tome::kernels::cpu
