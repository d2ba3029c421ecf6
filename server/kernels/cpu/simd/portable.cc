#define TOME_SIMD portable
#include "server/kernels/cpu/simd/all.h"

namespace tome::kernels::cpu {

const SimdKernels kPortableKernels = TOME_SIMD::kKernels;

}  // namespace tome::kernels::cpu
