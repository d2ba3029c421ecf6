#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/commands.h"
#include "client/cli/cosine.h"
#include "client/cli/input_files.h"
#include "client/cli/json.h"
#include "client/cli/npy_file.h"
#include "client/cli/run_record.h"
#include "client/cli/table.h"

namespace tome::client {
namespace {

struct Match {
  double cosine = 0.0;
  uint64_t row = 0;
  std::string path;
};

// The better one; of two alike the earlier one.
bool IsBetter(const Match& a, const Match& b) {
  return a.cosine != b.cosine ? a.cosine > b.cosine : a.row < b.row;
}

// The `top` rows of `file` that are most like `query`, the best first. One row is in memory at a
// time.
absl::StatusOr<std::vector<Match>> BestRows(const std::string& file,
                                            const std::vector<float>& query, size_t top) {
  std::ifstream values(file, std::ios::binary);
  const absl::StatusOr<NpyHeader> header = ReadNpyHeader(values, file);
  if (!header.ok()) return header.status();
  if (header->columns != query.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the rows in ", file, " have ", header->columns,
                                                   " dimensions, the query has ", query.size()));
  }
  std::ifstream paths(PathsFileOf(file), std::ios::binary);
  // The worst of the best on top.
  std::priority_queue<Match, std::vector<Match>, decltype(&IsBetter)> best(&IsBetter);
  std::vector<float> row(header->columns);
  std::string path;
  for (uint64_t i = 0; i < header->rows; ++i) {
    values.read(reinterpret_cast<char*>(row.data()),
                static_cast<std::streamsize>(row.size() * sizeof(float)));
    if (!values || !std::getline(paths, path)) {
      return absl::InvalidArgumentError(absl::StrCat(file, " and ", PathsFileOf(file),
                                                     " do not both have ", header->rows, " rows"));
    }
    Match match{Cosine(row, query), i, path};
    if (best.size() < top) {
      best.push(std::move(match));
    } else if (IsBetter(match, best.top())) {
      best.pop();
      best.push(std::move(match));
    }
  }
  if (values.peek() != std::ifstream::traits_type::eof()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, " has more than the ", header->rows,
                     " rows that it says: its run was broken off; tome embed --resume ends it"));
  }
  std::vector<Match> matches;
  for (; !best.empty(); best.pop()) matches.push_back(best.top());
  std::reverse(matches.begin(), matches.end());
  return matches;
}

void Print(const GlobalOptions& global, const std::vector<Match>& matches) {
  if (global.json) {
    Json list = Json::array();
    for (const Match& match : matches) {
      list.push_back({{"path", match.path}, {"row", match.row}, {"cosine", match.cosine}});
    }
    std::cout << OneLine({{"matches", std::move(list)}}) << "\n";
    return;
  }
  Table table({{"cosine", Table::Align::kRight}, {"file"}});
  for (const Match& match : matches) {
    table.AddRow({absl::StrFormat("%.4f", match.cosine), match.path});
  }
  std::cout << table.ToString();
}

}  // namespace

ExitCode RunSearch(const GlobalOptions& global, const SearchCommand& command) {
  const absl::StatusOr<RunRecord> run = ReadRunRecord(command.in);
  if (!run.ok()) return ReportUsageError(global, run.status());
  const absl::StatusOr<std::string> picture = ReadImageFile(command.query, 0);
  if (!picture.ok()) {
    return ReportUsageError(global, absl::InvalidArgumentError(absl::StrCat(
                                        command.query, ": ", picture.status().message())));
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(global);
  if (!client.ok()) return ReportUsageError(global, client.status());
  EmbedOptions embed;
  static_cast<CallOptions&>(embed) = FirstCall(global);
  embed.model = run->model;
  // As the rows were made: of the same weights, at the same r.
  embed.if_weights_digest = run->weights_digest;
  embed.schedule = run->schedule;
  embed.output.element_type = run->element_type;
  embed.output.normalize = run->normalize;
  embed.output.dimensions = static_cast<uint32_t>(run->dimensions);
  embed.output.pooling = run->pooling;
  const absl::StatusOr<Embedding> query = (*client)->Embed(EncodedImage{*picture}, embed);
  if (!query.ok()) return ReportCallError(global, query.status());
  const absl::StatusOr<std::vector<Match>> matches =
      BestRows(command.in, query->vector, static_cast<size_t>(command.top));
  if (!matches.ok()) return ReportUsageError(global, matches.status());
  Print(global, *matches);
  return kExitOk;
}

}  // namespace tome::client
