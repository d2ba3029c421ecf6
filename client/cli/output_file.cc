#include "client/cli/output_file.h"

#include <filesystem>
#include <iostream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/cli/json.h"
#include "client/cli/jsonl_writer.h"
#include "client/cli/npy_writer.h"

namespace tome::client {
namespace {

bool IsNpy(const std::string& file) { return absl::EndsWith(file, ".npy"); }

}  // namespace

// JSON replaces what is not UTF-8.
std::string OutputFile::NameInRow(const std::string& path) const {
  return is_npy ? path : Json::parse(OneLine(path)).get<std::string>();
}

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

absl::StatusOr<OutputFile> ResumeOutput(const std::string& file, const RunRecord& run) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return CreateOutput(file, run);
  const absl::StatusOr<RunRecord> there = ReadRunRecord(file);
  if (!there.ok()) return there.status();
  const absl::Status same = CheckSameRun(file, *there, run);
  if (!same.ok()) return same;

  OutputFile output;
  output.is_npy = IsNpy(file);
  if (output.is_npy) {
    absl::StatusOr<std::unique_ptr<NpyWriter>> writer =
        NpyWriter::Resume(file, run.dimensions, output.rows_there);
    if (!writer.ok()) return writer.status();
    output.writer = *std::move(writer);
  } else {
    absl::StatusOr<std::unique_ptr<JsonlWriter>> writer =
        JsonlWriter::Resume(file, output.rows_there);
    if (!writer.ok()) return writer.status();
    output.writer = *std::move(writer);
  }
  output.rows_there.Sort();
  return output;
}

}  // namespace tome::client
