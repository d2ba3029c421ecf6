#ifndef TOME_SERVER_SERVICE_EMBED_CALL_H_
#define TOME_SERVER_SERVICE_EMBED_CALL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/cancellation.h"
#include "server/engine/engine.h"
#include "server/merge/merge_schedule.h"
#include "server/service/input.h"
#include "server/service/vector.h"

// What the service is asked and what it answers. Deadlines are on the service's clock; its default
// and maximum timeout apply. What the spans of an input point at outlives the answer.

namespace tome {

// One image's request.
struct EmbedCall {
  std::string model;  // may be empty where one model is served
  std::string if_weights_digest;
  Input input;
  std::optional<MergeSchedule> schedule;  // absent: the model's default
  OutputSpec output;
  absl::Time deadline = absl::InfiniteFuture();
  Cancellation cancellation;
};

// Several images' request.
struct EmbedBatchCall {
  struct Item {
    Input input;
    std::optional<MergeSchedule> schedule;  // absent: the batch's
  };

  std::string model;
  std::string if_weights_digest;
  std::optional<MergeSchedule> schedule;
  OutputSpec output;
  // An item that the caller got wrong is its error, which becomes its result.
  std::vector<absl::StatusOr<Item>> items;
  absl::Time deadline = absl::InfiniteFuture();
  Cancellation cancellation;
};

struct StageTimes {
  std::optional<absl::Duration> decode;
  std::optional<absl::Duration> preprocess;
  absl::Duration queue;
  absl::Duration compute;
  int batch_images = 0;
};

struct EmbedAnswer {
  std::string model;
  std::string weights_digest;
  EncodedVector vector;
  std::vector<int> merged_per_block;
  int tokens_in = 0;
  int tokens_out = 0;
  double gflops = 0.0;
  double gflops_unmerged = 0.0;
  std::optional<double> expected_fidelity = std::nullopt;  // by the model's profile
  StageTimes times;
  int grid_height = 0;
  int grid_width = 0;
  std::optional<MergeMap> merge_map;
  std::vector<float> tokens;  // [tokens_out, token_dim] if asked for
  int token_dim = 0;
  std::vector<uint8_t> model_pixels = {};  // [model_height, model_width, 3] if asked for
  int model_height = 0;
  int model_width = 0;
};

struct EmbedBatchAnswer {
  std::string model;
  std::string weights_digest;
  std::vector<absl::StatusOr<EmbedAnswer>> results;  // one an item, in the call's order
};

}  // namespace tome

#endif  // TOME_SERVER_SERVICE_EMBED_CALL_H_
