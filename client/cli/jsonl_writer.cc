#include "client/cli/jsonl_writer.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/cli/json.h"

namespace tome::client {
namespace {

void SetMilliseconds(Json& json, const char* name, std::optional<absl::Duration> duration) {
  if (duration.has_value()) json[name] = absl::ToDoubleMilliseconds(*duration);
}

// The shortest digits that give the same float again: as a double, 0.1f would take 19 of them.
void AppendFloat(std::string& line, float value) {
  if (!std::isfinite(value)) {
    line += "null";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  line.append(digits, end);
}

}  // namespace

JsonlWriter::JsonlWriter(std::string name, std::ostream& out) : name_(std::move(name)), out_(out) {}

JsonlWriter::JsonlWriter(std::string name, std::ofstream file)
    : name_(std::move(name)), file_(std::move(file)), out_(file_) {}

absl::StatusOr<std::unique_ptr<JsonlWriter>> JsonlWriter::Create(const std::string& file) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  if (!out.is_open()) {
    return absl::UnknownError(absl::StrCat("cannot write ", file, ": ", std::strerror(errno)));
  }
  return std::unique_ptr<JsonlWriter>(new JsonlWriter(file, std::move(out)));
}

absl::StatusOr<std::unique_ptr<JsonlWriter>> JsonlWriter::Resume(const std::string& file,
                                                                 RowsThere& written) {
  std::ifstream in(file, std::ios::binary);
  uint64_t whole = 0;
  // A last line without its end is no whole one: getline reaches the end of the file in it.
  for (std::string line; std::getline(in, line) && !in.eof();) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("path") || !json["path"].is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", written.size() + 1, " of ", file, " is none of tome embed"));
    }
    written.Add(json["path"].get_ref<const std::string&>());
    whole += line.size() + 1;
  }
  std::error_code error;
  std::filesystem::resize_file(file, whole, error);
  std::ofstream out(file, std::ios::binary | std::ios::app);
  if (error || !out.is_open()) {
    return absl::UnknownError(absl::StrCat("cannot go on with ", file, ": ",
                                           error ? error.message() : std::strerror(errno)));
  }
  return std::unique_ptr<JsonlWriter>(new JsonlWriter(file, std::move(out)));
}

absl::Status JsonlWriter::Write(const std::string& path, const Embedding& embedding) {
  Json json = {{"path", path},
               {"model", embedding.model},
               {"weights_digest", embedding.weights_digest},
               {"request_id", embedding.request_id},
               {"merged_per_block", embedding.merged_per_block},
               {"tokens_in", embedding.tokens_in},
               {"tokens_out", embedding.tokens_out},
               {"gflops", embedding.gflops},
               {"gflops_unmerged", embedding.gflops_unmerged}};
  SetMilliseconds(json, "decode_ms", embedding.timing.decode);
  SetMilliseconds(json, "preprocess_ms", embedding.timing.preprocess);
  SetMilliseconds(json, "queue_ms", embedding.timing.queue);
  SetMilliseconds(json, "compute_ms", embedding.timing.compute);
  json["batch_images"] = embedding.timing.batch_images;
  std::string line = OneLine(json);
  line.pop_back();  // the closing brace
  line += ",\"vector\":[";
  for (size_t i = 0; i < embedding.vector.size(); ++i) {
    if (i > 0) line += ',';
    AppendFloat(line, embedding.vector[i]);
  }
  line += "]}\n";
  out_ << line << std::flush;
  if (!out_) {
    return absl::UnknownError(absl::StrCat("cannot write ", name_, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

// Nothing is left to do: every line was flushed, and checked, when it was written.
absl::Status JsonlWriter::Finish() { return absl::OkStatus(); }

}  // namespace tome::client
