#ifndef TOME_SERVER_ENGINE_ENGINE_H_
#define TOME_SERVER_ENGINE_ENGINE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/preprocessing.h"
#include "server/merge/flops.h"
#include "server/merge/merge_profile.h"

// What the rooms above know of the compute: no tensor, no LibTorch, so that they build and test
// without either. torch_engine.h makes the CPU implementation.

namespace tome {

// How an image's final tokens become its embedding.
enum class Pooling {
  kModelsOwn,
  kClassToken,  // and what the model's own does behind it: norm, projection
  kMean,        // of the patch tokens, each weighted by the patches it stands for; never projected
};

// Facts of a loaded model. Constant while it is loaded.
struct ModelFacts {
  std::string architecture;  // the checkpoint's own word, such as "vit_small_patch16_224"
  std::string family;        // "vit", "deit", "mae", "dinov2", "clip", "siglip"
  std::string dtype;         // "float32", "bfloat16": the type the engine computes in
  std::string device;        // "cpu"
  // Hex SHA-256 over the weights: equal digests and dtypes mean comparable vectors.
  std::string weights_digest;

  Preprocessing preprocessing;  // also the input size: crop_height x crop_width
  int patch_size = 0;
  int grid_height = 0;    // patches down
  int grid_width = 0;     // patches across
  int prefix_tokens = 0;  // class, distillation and register tokens, in front of the patches
  int blocks = 0;
  BlockShape block_shape;
  int embedding_dim = 0;  // of the model's own pooling and of the class token
  bool class_token = true;
  bool proportional_attention = true;   // ToMe, section 3: log(size) added to each key's logit
  std::optional<MergeProfile> profile;  // what merging costs this model, if it was measured
  // Run calls at the same time that the engine makes use of: more than one where a batch's pixels
  // are copied while another is computed.
  int concurrent_runs = 1;

  int EmbeddingDim(Pooling pooling) const {
    return pooling == Pooling::kMean ? block_shape.token_dim : embedding_dim;
  }
  int tokens() const { return prefix_tokens + grid_height * grid_width; }
};

// One image of a batch.
struct EngineImage {
  std::span<const uint8_t> pixels;  // [input height, input width, 3], owned by the caller
  std::span<const int>
      merges_per_block;  // r asked of each block, before the cap; owned by the caller
  Pooling pooling = Pooling::kModelsOwn;  // kClassToken only where the model has one
  bool want_tokens = false;
  bool want_merge_map = false;
};

// Which final token each patch ended in (ToMe, figure 4), and how many patches each final token is.
struct MergeMap {
  std::vector<int> group_of_patch;  // [grid height * grid width] row of the final tokens
  std::vector<float> size;          // [tokens out], 1 for each prefix token
};

// What became of one image.
struct EmbeddedImage {
  std::vector<float> embedding;       // [EmbeddingDim(pooling)], not normalised
  std::vector<int> merged_per_block;  // after the cap
  int tokens_out = 0;                 // prefix included
  std::vector<float> tokens;          // [tokens out, token_dim] after the final norm; if asked for
  std::optional<MergeMap> merge_map;  // if asked for
};

// What an engine counts itself, since its start. Zero where it has no such thing.
struct EngineStatistics {
  uint64_t graph_runs = 0;  // passes replayed as a graph
  uint64_t eager_runs = 0;  // passes that were not
  double copy_seconds = 0;  // device time of copying pixels in
  double pass_seconds = 0;  // device time of the passes
};

// Runs batches through one model. The embedding of an image depends on its pixels and r alone, to
// the bit, whatever its batch mates.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const ModelFacts& facts() const = 0;

  // One result an image, in order. An image whose embedding is not finite fails alone (INTERNAL); a
  // failure of the pass fails every image with the same status. Never throws.
  // REQUIRES: 1 or more images, each as EngineImage says. At most facts().concurrent_runs calls at
  // a time.
  virtual std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) = 0;

  // Whether the device behind the engine is gone for good: every Run since answers UNAVAILABLE.
  virtual bool lost() const { return false; }

  // Thread-safe.
  virtual EngineStatistics statistics() const { return {}; }
};

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_ENGINE_H_
