#ifndef TOME_SERVER_KERNELS_CPU_EMBED_H_
#define TOME_SERVER_KERNELS_CPU_EMBED_H_

#include <array>
#include <cstdint>
#include <span>

#include "server/kernels/cpu/parallel_for.h"
#include "server/kernels/element_type.h"

namespace tome::kernels::cpu {

// Pixels as the rows that the patch embedding's linear layer reads, normalised on the way:
//   rows[image, patch][channel, y, x] = (pixel / 255 - mean[channel]) / std[channel]
// Patches are in row order; the channel, row, column order inside one is that of a convolution's
// kernel. What lies beyond the last whole patch is left out.
struct PatchRowsArgs {
  ElementType type = ElementType::kFloat32;  // T: float32 or bfloat16
  std::span<const uint8_t* const> pixels;    // [images], each [height, width, 3]
  void* rows = nullptr;                      // T [images * patches, 3 * patch_size^2]
  int height = 0;                            // of the pixels
  int width = 0;
  int patch_size = 0;
  std::array<float, 3> mean = {};
  std::array<float, 3> std = {};
};

void PatchRows(const PatchRowsArgs& args, const Compute& compute);

// Patch embeddings as packed tokens, a run of them at a time; prefix rows are left alone:
//   x[image, prefix_tokens + patch] = embeddings[image, patch] + position[patch]
// for the `rows` embeddings from packed patch row `first_row` on, summed in float32 and rounded
// once; with norm_weight each row is layer-normalised before it is rounded.
struct AssemblePatchesArgs {
  ElementType type = ElementType::kFloat32;  // T: float32 or bfloat16
  const void* embeddings = nullptr;          // T [rows, width]
  const float* position = nullptr;           // [patches, width]
  const float* norm_weight = nullptr;        // [width], or null: no norm
  const float* norm_bias = nullptr;          // [width]; null exactly if norm_weight is
  float epsilon = 0;
  void* x = nullptr;  // T [images * (prefix_tokens + patches), width]
  int first_row = 0;
  int rows = 0;
  int patches = 0;
  int prefix_tokens = 0;
  int width = 0;
};

void AssemblePatches(const AssemblePatchesArgs& args, const Compute& compute);

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_EMBED_H_
