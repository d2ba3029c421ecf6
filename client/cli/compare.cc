#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/commands.h"
#include "client/cli/cosine.h"
#include "client/cli/failures.h"
#include "client/cli/input_files.h"
#include "client/cli/json.h"
#include "client/cli/table.h"

namespace tome::client {
namespace {

struct Row {
  std::string path;
  uint32_t r = 0;
  Embedding embedding;                    // of the last repetition; all are alike
  std::optional<absl::Duration> compute;  // the median of the repetitions
  double cosine = 0.0;
};

// The upper one of the middle two of an even number.
std::optional<absl::Duration> Median(std::vector<absl::Duration> durations) {
  if (durations.empty()) return std::nullopt;
  const auto middle = durations.begin() + static_cast<std::ptrdiff_t>(durations.size() / 2);
  std::nth_element(durations.begin(), middle, durations.end());
  return *middle;
}

// r = 0 first, what the others are compared with; then the rest in the order given, each once.
std::vector<uint32_t> WithBaseFirst(const std::vector<uint32_t>& asked) {
  std::vector<uint32_t> r = {0};
  for (const uint32_t value : asked) {
    if (std::find(r.begin(), r.end(), value) == r.end()) r.push_back(value);
  }
  return r;
}

// One picture at one r; the cosine is left to the caller.
absl::StatusOr<Row> Measure(Client& client, const GlobalOptions& global,
                            const CompareCommand& options, const std::string& path,
                            const std::string& bytes, uint32_t r) {
  EmbedOptions embed;
  embed.timeout = global.timeout;
  embed.model = options.model;
  embed.schedule = ConstantSchedule{r};
  Row row{path, r, {}, {}, 0.0};
  std::vector<absl::Duration> computes;
  for (int i = 0; i < options.repeat; ++i) {
    absl::StatusOr<Embedding> embedding = client.Embed(EncodedImage{bytes}, embed);
    if (!embedding.ok()) return embedding.status();
    if (embedding->timing.compute.has_value()) computes.push_back(*embedding->timing.compute);
    row.embedding = *std::move(embedding);
  }
  row.compute = Median(std::move(computes));
  return row;
}

// Rows of one picture, appended to `rows` as far as they go.
absl::Status CompareFile(Client& client, const GlobalOptions& global, const CompareCommand& options,
                         const std::string& path, uint64_t file_bytes, std::vector<Row>& rows) {
  const absl::StatusOr<std::string> bytes = ReadImageFile(path, file_bytes);
  if (!bytes.ok()) return bytes.status();
  std::vector<float> base;
  for (const uint32_t r : WithBaseFirst(options.r)) {
    absl::StatusOr<Row> row = Measure(client, global, options, path, *bytes, r);
    if (!row.ok()) return row.status();
    if (r == 0) base = row->embedding.vector;
    row->cosine = Cosine(row->embedding.vector, base);
    rows.push_back(*std::move(row));
  }
  return absl::OkStatus();
}

std::string ToTable(const std::vector<Row>& rows) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"file"},
               {"r", kRight},
               {"tokens", kRight},
               {"compute ms", kRight},
               {"GFLOPs", kRight},
               {"cosine to r=0", kRight}});
  for (const Row& row : rows) {
    const Embedding& embedding = row.embedding;
    table.AddRow(
        {row.path, absl::StrCat(row.r),
         absl::StrCat(embedding.tokens_in, " -> ", embedding.tokens_out),
         row.compute ? absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(*row.compute)) : "-",
         absl::StrFormat("%.2f", embedding.gflops), absl::StrFormat("%.4f", row.cosine)});
  }
  return table.ToString();
}

Json ToJson(const std::vector<Row>& rows) {
  Json json = Json::array();
  for (const Row& row : rows) {
    Json object = {{"path", row.path},
                   {"r", row.r},
                   {"merged_per_block", row.embedding.merged_per_block},
                   {"tokens_in", row.embedding.tokens_in},
                   {"tokens_out", row.embedding.tokens_out},
                   {"gflops", row.embedding.gflops},
                   {"cosine", row.cosine}};
    object["compute_ms"] = row.compute ? Json(absl::ToDoubleMilliseconds(*row.compute)) : Json();
    json.push_back(std::move(object));
  }
  return json;
}

}  // namespace

ExitCode RunCompare(const GlobalOptions& global, const CompareCommand& options) {
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  const absl::StatusOr<ModelAndLimits> model =
      (*client)->GetModel(options.model, FirstCall(global));
  if (!model.ok()) return ReportCallError(global, model.status());

  InputFiles input(options.paths, options.recursive);
  std::vector<Row> rows;
  std::vector<FailedFile> failed;
  bool unreachable = false;
  while (const std::optional<std::string> path = input.Next()) {
    const absl::Status status =
        CompareFile(**client, global, options, *path, model->limits.encoded_bytes, rows);
    if (!status.ok()) failed.push_back({*path, status});
    unreachable = absl::IsUnavailable(status);
    if (unreachable) break;
  }
  failed.insert(failed.end(), input.failed().begin(), input.failed().end());

  if (global.json) {
    std::cout << OneLine({{"rows", ToJson(rows)}, {"failed", ToJson(failed)}}) << "\n";
  } else {
    if (!rows.empty()) std::cout << ToTable(rows);
    std::cout.flush();
    PrintFailures(failed);
  }
  if (unreachable) return kExitUnreachable;
  return failed.empty() ? kExitOk : kExitFailed;
}

}  // namespace tome::client
