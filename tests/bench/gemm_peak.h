#ifndef TOME_TESTS_BENCH_GEMM_PEAK_H_
#define TOME_TESTS_BENCH_GEMM_PEAK_H_

#include "server/cuda/module.h"

namespace tome::bench {

// The rate in FLOP/s of a model's four linear layers alone, in bfloat16 at `rows` rows, weighted by
// their FLOPs: for each the fastest of all algorithms that cuBLASLt proposes, split sums and
// workspace included, timed on random data. What a pass that were nothing but these would reach.
double GemmPeak(const cuda::Model& model, int rows);

}  // namespace tome::bench

#endif  // TOME_TESTS_BENCH_GEMM_PEAK_H_
