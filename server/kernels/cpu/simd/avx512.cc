#define TOME_SIMD avx512
#include "server/kernels/cpu/simd/all.h"

namespace tome::kernels::cpu {

const SimdKernels kAvx512Kernels = TOME_SIMD::kKernels;

}  // namespace tome::kernels::cpu
