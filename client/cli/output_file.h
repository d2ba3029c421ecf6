#ifndef TOME_CLIENT_CLI_OUTPUT_FILE_H_
#define TOME_CLIENT_CLI_OUTPUT_FILE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/cli/row_writer.h"
#include "client/cli/run_record.h"

namespace tome::client {

// Where the rows of one run of `tome embed` go, and how many an interrupted one left.
struct OutputFile {
  std::unique_ptr<RowWriter> writer;
  size_t rows_there = 0;
};

// Rows to standard output for an empty name; else FILE.npy or FILE.jsonl with the record of the
// run beside it, replaced if it is there.
absl::StatusOr<OutputFile> CreateOutput(const std::string& file, const RunRecord& run);

// Goes on with `file`, and takes those of `paths` away that it has rows of, as often as it has;
// begins it if it is not there. INVALID_ARGUMENT if its rows were made in another way.
absl::StatusOr<OutputFile> ResumeOutput(const std::string& file, const RunRecord& run,
                                        std::vector<std::string>& paths);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_OUTPUT_FILE_H_
