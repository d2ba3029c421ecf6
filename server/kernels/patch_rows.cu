#include "server/kernels/element.cuh"
#include "server/kernels/launch.cuh"
#include "server/kernels/patch_rows.h"

namespace tome::kernels {
namespace {

constexpr int kThreads = 256;

// The arguments' three channels, by value.
struct Channels {
  float scale[3];
  float shift[3];
};

// A thread eight values of a row; grid: (accesses of all rows of an image, images).
template <typename T>
__global__ void __launch_bounds__(kThreads)
    PatchRowsKernel(const uint8_t* pixels, T* rows, int height, int width, int patch_size,
                    int row_stride, Channels channels) {
  const int accesses_per_row = row_stride / kElementsPerAccess;
  const int grid_width = width / patch_size;
  const int patches = height / patch_size * grid_width;
  const int access = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const int patch = access / accesses_per_row;
  if (patch >= patches) return;
  const int first = access % accesses_per_row * kElementsPerAccess;
  const int64_t image = blockIdx.y;
  const int64_t corner =
      (image * height + patch / grid_width * patch_size) * width + patch % grid_width * patch_size;

  const int area = patch_size * patch_size;
  int channel = first / area;
  int y = first % area / patch_size;
  int x = first % patch_size;
  float values[8];
#pragma unroll
  for (float& value : values) {
    value = 0;
    if (channel < 3) {
      const float pixel = pixels[(corner + static_cast<int64_t>(y) * width + x) * 3 + channel];
      const float scale = channel == 0   ? channels.scale[0]
                          : channel == 1 ? channels.scale[1]
                                         : channels.scale[2];
      const float shift = channel == 0   ? channels.shift[0]
                          : channel == 1 ? channels.shift[1]
                                         : channels.shift[2];
      value = pixel * scale + shift;
    }
    if (++x == patch_size) {
      x = 0;
      if (++y == patch_size) {
        y = 0;
        ++channel;
      }
    }
  }
  Store8(rows + (image * patches + patch) * row_stride + first, values);
}

}  // namespace

cudaError_t PatchRows(const PatchRowsArgs& args, cudaStream_t stream) {
  if (args.patch_size <= 0 || args.height <= 0 || args.width <= 0 ||
      args.height % args.patch_size != 0 || args.width % args.patch_size != 0 ||
      args.row_stride < 3 * args.patch_size * args.patch_size ||
      args.row_stride % kElementsPerAccess != 0 || args.images < 0) {
    return cudaErrorInvalidValue;
  }
  const int patches = args.height / args.patch_size * (args.width / args.patch_size);
  const int accesses = patches * (args.row_stride / kElementsPerAccess);
  Channels channels;
  for (int i = 0; i < 3; ++i) {
    channels.scale[i] = args.scale[i];
    channels.shift[i] = args.shift[i];
  }
  return ForElementType(args.type, [&]<typename T>(std::type_identity<T>) {
    return Launch(PatchRowsKernel<T>,
                  {.grid = dim3(static_cast<unsigned int>(CeilDiv(accesses, kThreads)),
                                static_cast<unsigned int>(args.images)),
                   .threads = kThreads},
                  stream, args.pixels, static_cast<T*>(args.rows), args.height, args.width,
                  args.patch_size, args.row_stride, channels);
  });
}

}  // namespace tome::kernels
