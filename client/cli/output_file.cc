#include "client/cli/output_file.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/cli/json.h"
#include "client/cli/jsonl_writer.h"
#include "client/cli/npy_writer.h"

namespace tome::client {
namespace {

bool IsNpy(const std::string& file) { return absl::EndsWith(file, ".npy"); }

// As a row names the file: JSON replaces what is not UTF-8.
std::string NameInRow(const std::string& file, const std::string& path) {
  return IsNpy(file) ? path : Json::parse(OneLine(path)).get<std::string>();
}

}  // namespace

absl::StatusOr<OutputFile> CreateOutput(const std::string& file, const RunRecord& run) {
  OutputFile output;
  if (file.empty()) {
    output.writer = std::make_unique<JsonlWriter>("standard output", std::cout);
    return output;
  }
  // In this order, so that a record never stands beside rows of another run.
  std::error_code error;
  std::filesystem::remove(RunRecordFileOf(file), error);
  if (error) {
    return absl::UnknownError(
        absl::StrCat("cannot replace ", RunRecordFileOf(file), ": ", error.message()));
  }
  if (IsNpy(file)) {
    absl::StatusOr<std::unique_ptr<NpyWriter>> writer = NpyWriter::Create(file, run.dimensions);
    if (!writer.ok()) return writer.status();
    output.writer = *std::move(writer);
  } else {
    absl::StatusOr<std::unique_ptr<JsonlWriter>> writer = JsonlWriter::Create(file);
    if (!writer.ok()) return writer.status();
    output.writer = *std::move(writer);
  }
  const absl::Status recorded = WriteRunRecord(file, run);
  if (!recorded.ok()) return recorded;
  return output;
}

absl::StatusOr<OutputFile> ResumeOutput(const std::string& file, const RunRecord& run,
                                        std::vector<std::string>& paths) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return CreateOutput(file, run);
  const absl::StatusOr<RunRecord> there = ReadRunRecord(file);
  if (!there.ok()) return there.status();
  const absl::Status same = CheckSameRun(file, *there, run);
  if (!same.ok()) return same;

  OutputFile output;
  std::vector<std::string> written;
  if (IsNpy(file)) {
    absl::StatusOr<std::unique_ptr<NpyWriter>> writer =
        NpyWriter::Resume(file, run.dimensions, written);
    if (!writer.ok()) return writer.status();
    output.writer = *std::move(writer);
  } else {
    absl::StatusOr<std::unique_ptr<JsonlWriter>> writer = JsonlWriter::Resume(file, written);
    if (!writer.ok()) return writer.status();
    output.writer = *std::move(writer);
  }
  output.rows_there = written.size();

  std::unordered_map<std::string, size_t> rows;
  for (std::string& path : written) ++rows[std::move(path)];
  const auto has_row = [&](const std::string& path) {
    const auto found = rows.find(NameInRow(file, path));
    if (found == rows.end() || found->second == 0) return false;
    --found->second;
    return true;
  };
  // In order, each asked once.
  paths.erase(std::remove_if(paths.begin(), paths.end(), has_row), paths.end());
  return output;
}

}  // namespace tome::client
