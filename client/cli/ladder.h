#ifndef TOME_CLIENT_CLI_LADDER_H_
#define TOME_CLIENT_CLI_LADDER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/cli/connection.h"
#include "client/cli/failures.h"
#include "client/cli/fidelity.h"

namespace tome::client {

// What one schedule costs and saves, on a folder's pictures.
struct Rung {
  Schedule schedule;
  double flop_ratio = 0.0;  // FLOPs at r = 0 by those at the schedule
  int tokens_out = 0;
  double images_per_second = 0.0;  // over the socket, several on their way at once
  absl::Duration latency;          // of a call with one picture, the median of a few
  Fidelity fidelity;
  double recall_at_1 = 0.0;
  double recall_at_10 = 0.0;
  std::optional<double> label_accuracy;  // where there are labels
};

// Whose share recall_at_10 is.
inline constexpr size_t kNeighbours = 10;

struct Ladder {
  Model model;
  std::vector<std::string> files;  // those that were measured, in order
  std::vector<FailedFile> failed;  // those that could not be embedded
  std::vector<Rung> rungs;         // r = 0 first, then as asked for
};

struct LadderOptions {
  std::string images;  // a folder
  std::string model;
  std::vector<Schedule> schedules;  // r = 0 is measured first, whether it is here or not
  bool labels = false;              // the first folder below `images` is a picture's label
};

// How a picture is embedded for one rung, each within the timeout: by these weights, or, where the
// server has others by now, FAILED_PRECONDITION.
EmbedOptions OptionsOfRung(const GlobalOptions& global, const Model& model,
                           const Schedule& schedule);

// Embeds the folder's pictures at each schedule by a running server, and compares. `progress` is
// told in words what is measured next. A picture that the server refuses is left out; any other
// error ends it. INVALID_ARGUMENT for fewer than two pictures, or than two labels where they are
// asked for.
absl::StatusOr<Ladder> MeasureLadder(Client& client, const GlobalOptions& global,
                                     const LadderOptions& options,
                                     absl::FunctionRef<void(const std::string&)> progress);

// "r = 8", "linear 8:-1": as a report shows it.
std::string RungName(const Schedule& schedule);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_LADDER_H_
