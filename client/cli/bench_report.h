#ifndef TOME_CLIENT_CLI_BENCH_REPORT_H_
#define TOME_CLIENT_CLI_BENCH_REPORT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "client/cli/commands.h"
#include "client/cli/json.h"
#include "client/cli/load_run.h"
#include "client/embedding.h"

namespace tome::client {

// What a load run comes to: of its windows that count, all samples as one.
struct BenchSummary {
  LoadWindow total;
  std::vector<LoadWindow> windows;  // every one, also those that do not count
  absl::Duration time;              // of the windows that count

  // Of what the client saw of the images embedded; absent where they are too few.
  std::optional<absl::Duration> mean, p50, p90, p99, p999, largest;

  // Means of what the answers tell, over those that tell it.
  std::optional<absl::Duration> decode, preprocess, queue, compute;
  double batch_images = 0.0;
  // What is left of a latency without decode, preprocess and compute: the client, the network, RPC,
  // the queue, and in an open loop the time by which an image was sent late.
  std::optional<absl::Duration> outside_mean, outside_p50;
};

BenchSummary Summarize(const LoadResult& result, absl::Duration window);

// For a person, and for a program.
std::string ToText(const BenchCommand& command, const Model& model, const LoadResult& result,
                   const BenchSummary& summary);
Json ToJson(const BenchCommand& command, const Model& model, const LoadResult& result,
            const BenchSummary& summary);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_BENCH_REPORT_H_
