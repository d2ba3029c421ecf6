#include "server/kernels/layer_norm.h"
#include "server/kernels/row.cuh"

namespace tome::kernels {
namespace {

// A warp a row; grid: rows / kRowsPerBlock.
template <typename T, typename Out, int kSteps>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    LayerNormKernel(const T* x, const Segment* segments, const float* weight, const float* bias,
                    float epsilon, int rows_per_image, int rows, int width, Out* out) {
  const int row = WarpRow();
  if (row >= rows) return;
  const int from =
      segments == nullptr ? row : segments[row / rows_per_image].offset + row % rows_per_image;
  Row<kSteps> values;
  values.Load(x + static_cast<int64_t>(from) * width, width);
  values.LayerNorm(weight, bias, epsilon, width);
  values.Store(out + static_cast<int64_t>(row) * width, width);
}

}  // namespace

cudaError_t LayerNorm(const LayerNormArgs& args, cudaStream_t stream) {
  if (!IsRowWidth(args.width) || args.rows < 0) return cudaErrorInvalidValue;
  if (args.out_type != args.type && args.out_type != ElementType::kFloat32) {
    return cudaErrorInvalidValue;
  }
  const int rows = args.segments == nullptr ? args.rows : args.images * args.rows;
  return ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    return ForRowSteps(args.width, [&]<int kSteps>(std::integral_constant<int, kSteps>) {
      const auto launch = [&]<typename Out>(Out* out) {
        return Launch(LayerNormKernel<T, Out, kSteps>, RowPerWarp(rows), stream,
                      static_cast<const T*>(args.x), args.segments, args.weight, args.bias,
                      args.epsilon, args.rows, rows, args.width, out);
      };
      return args.out_type == args.type ? launch(static_cast<T*>(args.out))
                                        : launch(static_cast<float*>(args.out));
    });
  });
}

}  // namespace tome::kernels
