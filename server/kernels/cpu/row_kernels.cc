// The kernels that treat each row by itself, cut into tasks of a few rows.

#include <algorithm>

#include "server/kernels/cpu/activation.h"
#include "server/kernels/cpu/embed.h"
#include "server/kernels/cpu/layer_norm.h"
#include "server/kernels/cpu/merge_tokens.h"
#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu {
namespace {

// A few thousand cycles at common widths: far more than it costs to hand a task out.
constexpr int kRowsPerTask = 16;

template <typename Args>
void ForRows(const Args& args, int rows, const Compute& compute,
             void (*run)(const Args& args, int first, int last)) {
  compute.parallel((rows + kRowsPerTask - 1) / kRowsPerTask, [&](int task, int) {
    run(args, task * kRowsPerTask, std::min(rows, (task + 1) * kRowsPerTask));
  });
}

}  // namespace

void LayerNorm(const LayerNormArgs& args, const Compute& compute) {
  ForRows(args, args.rows, compute, KernelsOf(compute.instructions).norm_rows);
}

void MergeTokens(const MergeTokensArgs& args, const Compute& compute) {
  ForRows(args, args.rows_out, compute, KernelsOf(compute.instructions).merge_rows);
}

void Activate(const ActivationArgs& args, const Compute& compute) {
  ForRows(args, args.rows, compute, KernelsOf(compute.instructions).activate_rows);
}

void AssemblePatches(const AssemblePatchesArgs& args, const Compute& compute) {
  ForRows(args, args.rows, compute, KernelsOf(compute.instructions).assemble_rows);
}

}  // namespace tome::kernels::cpu
