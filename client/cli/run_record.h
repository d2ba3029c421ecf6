#ifndef TOME_CLIENT_CLI_RUN_RECORD_H_
#define TOME_CLIENT_CLI_RUN_RECORD_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/embedding.h"

namespace tome::client {

// How the rows of a file were made, kept beside it in FILE.run.json: vectors of two runs belong
// together only if their records are equal.
struct RunRecord {
  std::string model;
  std::string weights_digest;
  std::optional<Schedule> schedule;  // absent: one that this client does not know
  ElementType element_type = ElementType::kFloat32;
  bool normalize = true;
  int dimensions = 0;
  Pooling pooling = Pooling::kModel;
};

std::string RunRecordFileOf(const std::string& file);

// Replaces the record of `file`, whole or not at all. UNKNOWN if it cannot be written.
absl::Status WriteRunRecord(const std::string& file, const RunRecord& record);

// INVALID_ARGUMENT if there is none, or none that can be read.
absl::StatusOr<RunRecord> ReadRunRecord(const std::string& file);

// INVALID_ARGUMENT names what differs: how `file`'s rows were made, and how they now would be.
absl::Status CheckSameRun(const std::string& file, const RunRecord& there, const RunRecord& now);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_RUN_RECORD_H_
