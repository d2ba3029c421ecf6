#include <bit>
#include <cmath>
#include <cstddef>

#include "server/kernels/cpu/embed.h"

namespace tome::kernels::cpu {
namespace {

constexpr int kChannels = 3;
constexpr int kLevels = 256;

float Convert(float value, float*) { return value; }

// To the nearest bfloat16, ties to even; pixels are finite.
uint16_t Convert(float value, uint16_t*) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// T: float, or the bits of a bfloat16.
template <typename T>
void PatchRowsOf(const PatchRowsArgs& args, const Compute& compute) {
  // There are few different pixels: each is normalised once.
  std::array<std::array<T, kLevels>, kChannels> normalized;
  for (int channel = 0; channel < kChannels; ++channel) {
    for (int level = 0; level < kLevels; ++level) {
      const float value = static_cast<float>(level) / 255.0f;
      normalized[channel][level] =
          Convert((value - args.mean[channel]) / args.std[channel], static_cast<T*>(nullptr));
    }
  }

  const int patch = args.patch_size;
  const int grid_height = args.height / patch;
  const int grid_width = args.width / patch;
  const size_t patch_pixels = static_cast<size_t>(patch) * patch;
  // A task is one row of patches of one image.
  compute.parallel(static_cast<int>(args.pixels.size()) * grid_height, [&](int task, int) {
    const int image = task / grid_height;
    const int grid_row = task % grid_height;
    const size_t first_patch = static_cast<size_t>(task) * grid_width;
    for (int y = 0; y < patch; ++y) {
      const size_t pixel_row = (static_cast<size_t>(grid_row) * patch + y) * args.width;
      const uint8_t* from = args.pixels[image] + pixel_row * kChannels;
      for (int column = 0; column < grid_width; ++column) {
        T* to = static_cast<T*>(args.rows) + (first_patch + column) * kChannels * patch_pixels +
                static_cast<size_t>(y) * patch;
        for (int x = 0; x < patch; ++x, from += kChannels) {
          to[x] = normalized[0][from[0]];
          to[patch_pixels + x] = normalized[1][from[1]];
          to[2 * patch_pixels + x] = normalized[2][from[2]];
        }
      }
    }
  });
}

}  // namespace

void PatchRows(const PatchRowsArgs& args, const Compute& compute) {
  if (args.type == ElementType::kFloat32) {
    PatchRowsOf<float>(args, compute);
  } else {
    PatchRowsOf<uint16_t>(args, compute);
  }
}

}  // namespace tome::kernels::cpu
