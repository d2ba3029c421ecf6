#ifndef TOME_CLIENT_CLI_OUTPUT_FILE_H_
#define TOME_CLIENT_CLI_OUTPUT_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "client/cli/row_writer.h"
#include "client/cli/rows_there.h"
#include "client/cli/run_record.h"

namespace tome::client {

// Where the rows of one run of `tome embed` go, and those that an interrupted one left.
struct OutputFile {
  // As a row names the file.
  std::string NameInRow(const std::string& path) const;

  std::unique_ptr<RowWriter> writer;
  bool is_npy = false;
  RowsThere rows_there;
};

// Rows to standard output for an empty name; else FILE.npy or FILE.jsonl with the record of the
// run beside it, replaced if it is there.
absl::StatusOr<OutputFile> CreateOutput(const std::string& file, const RunRecord& run);

// Goes on with `file`; begins it if it is not there. INVALID_ARGUMENT if its rows were made in
// another way.
absl::StatusOr<OutputFile> ResumeOutput(const std::string& file, const RunRecord& run);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_OUTPUT_FILE_H_
