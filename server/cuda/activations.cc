#include "server/cuda/activations.h"

#include <algorithm>

#include "server/cuda/pass_plan.h"
#include "server/cuda/weights.h"
#include "server/kernels/token_match.h"

namespace tome::cuda {

Activations::Activations(Arena& arena, const Model& model, kernels::ElementType type,
                         int max_images) {
  const size_t bytes = kernels::ElementBytes(type);
  const size_t images = max_images;
  const size_t d = model.token_dim;
  const size_t rows = images * model.tokens();
  // Bytes a row of each of its uses; patches are fewer than tokens or as many.
  const size_t widest = std::max(
      {bytes * PatchRowStride(model), bytes * 3 * d, bytes * Fc1Dim(model), sizeof(float) * d});

  segments =
      reinterpret_cast<Segment*>(arena.TakeBytes(PassPlan::UploadBytes(model.blocks, max_images)));
  x = arena.TakeBytes(rows * d * bytes);
  spare = arena.TakeBytes(rows * d * bytes);
  normed = arena.TakeBytes(rows * d * bytes);
  wide = arena.TakeBytes(rows * widest);
  const bool is_gated = model.activation == Activation::kSwiGlu;
  gated = is_gated ? arena.TakeBytes(rows * model.mlp_hidden_dim * bytes) : nullptr;
  size[0] = arena.Take<float>(rows);
  size[1] = arena.Take<float>(rows);
  log_size = arena.Take<float>(rows);
  own_row = arena.Take<int>(rows);
  first_source = arena.Take<int>(rows);
  source_count = arena.Take<int>(rows);
  source_row = arena.Take<int>(rows);
  row_after = arena.Take<int>(rows);
  match_workspace = arena.TakeBytes(
      kernels::TokenMatchWorkspaceBytes(static_cast<int>(rows), model.token_dim / model.heads));
  group = arena.Take<int>(rows);
  final_size = arena.Take<float>(rows);
  pooled = arena.Take<float>(images * d);
  projected = arena.Take<float>(images * model.projection_dim);
}

}  // namespace tome::cuda
