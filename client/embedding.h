#ifndef TOME_CLIENT_EMBEDDING_H_
#define TOME_CLIENT_EMBEDDING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"

// What goes into an embedding and what comes out of it, free of protobuf types.

namespace tome::client {

// A JPEG, PNG or WebP file's bytes.
struct EncodedImage {
  std::string bytes;
};
// Pixels of any size, resized and cropped as a file's are: [height, width, 3] bytes.
struct RgbImage {
  uint32_t height = 0;
  uint32_t width = 0;
  std::string pixels;
};
// Pixels of exactly the model's input size: only its mean and std are applied.
struct ModelPixels {
  uint32_t height = 0;
  uint32_t width = 0;
  std::string pixels;
};
using ImageInput = std::variant<EncodedImage, RgbImage, ModelPixels>;

// How many token pairs each block merges. The server caps what a block cannot merge and says what
// it applied.
struct ConstantSchedule {
  uint32_t r = 0;
};
// Mean r with inflection in [-1, 1]: -1 falls from 2r to 0 over the blocks, 1 rises from 0 to 2r.
struct LinearSchedule {
  uint32_t mean_r = 0;
  double inflection = 0.0;
};
// One r a block from the first on; blocks beyond the list merge nothing.
struct PerBlockSchedule {
  std::vector<uint32_t> r;
};
using Schedule = std::variant<ConstantSchedule, LinearSchedule, PerBlockSchedule>;

// In which type the vector goes over the wire. It is always decoded to float.
enum class ElementType { kFloat32, kFloat16, kInt8 };

// What becomes the vector: what the model's family pools, its class token, or the mean of its patch
// tokens, which has Model::token_dimensions.
enum class Pooling { kModel, kClassToken, kMean };

struct OutputSpec {
  ElementType element_type = ElementType::kFloat32;
  bool normalize = true;    // to Euclidean length 1
  uint32_t dimensions = 0;  // leading dimensions to keep, before normalisation; 0 keeps all
  Pooling pooling = Pooling::kModel;
  bool merge_map = false;     // also return which final token each patch was merged into
  bool tokens = false;        // also return all final tokens
  bool model_pixels = false;  // also return the pixels that the model saw
};

// Which final token each patch is part of.
struct MergeMap {
  int grid_height = 0;
  int grid_width = 0;
  std::vector<int> group_of_patch;  // [grid_height * grid_width] row of the final tokens
  std::vector<float> size;          // [tokens out] patches each stands for
};

// The final tokens after the last norm, prefix tokens first.
struct Tokens {
  int count = 0;
  int dimensions = 0;
  std::vector<float> values;  // [count, dimensions]
};

// Where the time of one image went on the server. Stages it did not pass are absent.
struct Timing {
  std::optional<absl::Duration> decode;
  std::optional<absl::Duration> preprocess;
  std::optional<absl::Duration> queue;
  std::optional<absl::Duration> compute;  // of the batch it was part of
  int batch_images = 0;
};

// One image's embedding and what was done for it.
struct Embedding {
  std::string model;
  // Vectors are comparable when their digests are equal.
  std::string weights_digest;
  std::string request_id;
  // Times the call was sent again, after a hint of the server or a broken connection.
  int retries = 0;

  std::vector<float> vector;
  std::vector<int> merged_per_block;  // after the cap
  int tokens_in = 0;                  // prefix tokens included
  int tokens_out = 0;
  double gflops = 0.0;           // of the transformer blocks
  double gflops_unmerged = 0.0;  // the same at r = 0
  // Expected cosine to the embedding at r = 0, where the model's profile tells it for this
  // schedule.
  std::optional<double> expected_fidelity;
  Timing timing;
  std::optional<MergeMap> merge_map;
  std::optional<Tokens> tokens;
  std::optional<ModelPixels> model_pixels;
};

// What merging costs a model's embeddings, as `tome calibrate` measured it.
struct MergeProfile {
  struct Step {
    uint32_t r = 0;            // constant
    double fidelity = 0.0;     // mean cosine to the embedding at r = 0
    double fidelity_p5 = 0.0;  // its 5th percentile
    double recall_at_10 =
        0.0;                  // of the ten nearest neighbours at r = 0, the share that are so at r
    double flop_ratio = 0.0;  // FLOPs at r = 0 by those at r
  };

  std::vector<Step> steps;  // by ascending r, the first at r = 0
  int images = 0;
  std::string date;  // YYYY-MM-DD
};

// A model that a server holds.
struct Model {
  std::string name;
  std::string weights_digest;
  std::string architecture;
  std::string family;
  std::string dtype;
  std::string device;
  int embedding_dimensions = 0;
  int token_dimensions = 0;
  int input_height = 0;
  int input_width = 0;
  int patch_size = 0;
  int tokens = 0;  // before the first block, prefix tokens included
  int prefix_tokens = 0;
  int blocks = 0;
  int maximum_r = 0;  // the largest constant r that is not capped in the first block
  bool proportional_attention = false;
  // Used where a request names none; absent if this client does not know its kind.
  std::optional<Schedule> default_schedule;
  double gflops_unmerged = 0.0;
  std::optional<MergeProfile> profile;  // absent where nobody has calibrated the model
};

// What one call may bring; 0 where the server names no limit.
struct Limits {
  uint64_t encoded_bytes = 0;
  uint64_t pixels = 0;
  uint32_t side_pixels = 0;
  uint32_t images_per_call = 0;
  uint64_t message_bytes = 0;
  absl::Duration default_timeout;
  absl::Duration maximum_timeout;
};

struct ModelAndLimits {
  Model model;
  Limits limits;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_EMBEDDING_H_
