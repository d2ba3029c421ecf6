#ifndef TOME_SERVER_KERNELS_CPU_SIMD_ALL_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_ALL_H_

#include "server/kernels/cpu/simd/attention.h"
#include "server/kernels/cpu/simd/kernels.h"
#include "server/kernels/cpu/simd/rows.h"
#include "server/kernels/cpu/simd/token_match.h"

namespace tome::kernels::cpu::TOME_SIMD {

inline constexpr SimdKernels kKernels = {.attend = Attend,
                                         .metric = Metric,
                                         .best_match = BestMatch,
                                         .merge_rows = MergeRows,
                                         .norm_rows = NormRows,
                                         .activate_rows = ActivateRows,
                                         .assemble_rows = AssembleRows,
                                         .exponentials = Exponentials};

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_ALL_H_
