#include "server/kernels/merge_tokens.h"
#include "server/kernels/row.cuh"

namespace tome::kernels {
namespace {

// A warp a new row; grid: new rows / kRowsPerBlock.
template <typename T, int kSteps>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    MergeTokensKernel(const T* x, const float* size, const int* own_row, const int* first_source,
                      const int* source_count, const int* source_row, const float* norm_weight,
                      const float* norm_bias, float epsilon, int rows, int width, T* x_out,
                      float* size_out, float* log_size_out, T* normed) {
  const int row = WarpRow();
  if (row >= rows) return;
  const int own = own_row[row];
  const int sources = source_count[row];
  float total = size == nullptr ? 1.0f : size[own];
  Row<kSteps> values;
  values.Load(x + static_cast<int64_t>(own) * width, width);
  if (sources > 0) {
    values.Scale(total);
    const int* source = source_row + first_source[row];
    for (int i = 0; i < sources; ++i) {
      const float source_size = size == nullptr ? 1.0f : size[source[i]];
      values.AddScaled(x + static_cast<int64_t>(source[i]) * width, source_size, width);
      total += source_size;
    }
    values.DivideBy(total);
    values.template RoundTo<T>();
  }
  values.Store(x_out + static_cast<int64_t>(row) * width, width);
  values.LayerNorm(norm_weight, norm_bias, epsilon, width);
  values.Store(normed + static_cast<int64_t>(row) * width, width);
  if (threadIdx.x % kWarp == 0) {
    size_out[row] = total;
    log_size_out[row] = logf(total);
  }
}

}  // namespace

cudaError_t MergeTokens(const MergeTokensArgs& args, cudaStream_t stream) {
  if (!IsRowWidth(args.width) || args.rows_out < 0) return cudaErrorInvalidValue;
  return ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    return ForRowSteps(args.width, [&]<int kSteps>(std::integral_constant<int, kSteps>) {
      return Launch(MergeTokensKernel<T, kSteps>, RowPerWarp(args.rows_out), stream,
                    static_cast<const T*>(args.x), args.size, args.own_row, args.first_source,
                    args.source_count, args.source_row, args.norm_weight, args.norm_bias,
                    args.epsilon, args.rows_out, args.width, static_cast<T*>(args.x_out),
                    args.size_out, args.log_size_out, static_cast<T*>(args.normed));
    });
  });
}

}  // namespace tome::kernels
