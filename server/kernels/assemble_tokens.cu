#include "server/kernels/assemble_tokens.h"
#include "server/kernels/row.cuh"

namespace tome::kernels {
namespace {

// A warp a row; grid: rows of x / kRowsPerBlock.
template <typename T, int kSteps>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    AssembleTokensKernel(const T* patch_embeddings, const float* prefix, const float* position,
                         const float* norm_weight, const float* norm_bias, float epsilon,
                         int prefix_tokens, int patches, int rows, int width, T* x) {
  const int row = WarpRow();
  if (row >= rows) return;
  const int image = row / (prefix_tokens + patches);
  const int token = row % (prefix_tokens + patches);
  Row<kSteps> values;
  if (token < prefix_tokens) {
    values.Load(prefix + static_cast<int64_t>(token) * width, width);
  } else {
    const int patch = token - prefix_tokens;
    values.Load(patch_embeddings + (static_cast<int64_t>(image) * patches + patch) * width, width);
    values.Add(position + static_cast<int64_t>(patch) * width, width);
  }
  if (norm_weight != nullptr) values.LayerNorm(norm_weight, norm_bias, epsilon, width);
  values.Store(x + static_cast<int64_t>(row) * width, width);
}

}  // namespace

cudaError_t AssembleTokens(const AssembleTokensArgs& args, cudaStream_t stream) {
  if (!IsRowWidth(args.width) || args.images < 0 || args.prefix_tokens < 0 || args.patches <= 0 ||
      (args.norm_weight == nullptr) != (args.norm_bias == nullptr)) {
    return cudaErrorInvalidValue;
  }
  const int rows = args.images * (args.prefix_tokens + args.patches);
  return ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    return ForRowSteps(args.width, [&]<int kSteps>(std::integral_constant<int, kSteps>) {
      return Launch(AssembleTokensKernel<T, kSteps>, RowPerWarp(rows), stream,
                    static_cast<const T*>(args.patch_embeddings), args.prefix, args.position,
                    args.norm_weight, args.norm_bias, args.epsilon, args.prefix_tokens,
                    args.patches, rows, args.width, static_cast<T*>(args.x));
    });
  });
}

}  // namespace tome::kernels
