#ifndef TOME_CLIENT_CLI_JSONL_WRITER_H_
#define TOME_CLIENT_CLI_JSONL_WRITER_H_

#include <fstream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/cli/row_writer.h"
#include "client/cli/rows_there.h"

namespace tome::client {

// One JSON object a line: path, model, weights_digest, request_id, merged_per_block, tokens_in,
// tokens_out, gflops, gflops_unmerged, the times in milliseconds of the stages that the image
// passed, batch_images and vector. Lines are complete whenever the program ends.
class JsonlWriter final : public RowWriter {
 public:
  // Replaces the file if it is there.
  static absl::StatusOr<std::unique_ptr<JsonlWriter>> Create(const std::string& file);
  // Goes on behind the lines that are whole, and drops what follows them. `written` gets the paths
  // of those lines. INVALID_ARGUMENT if one of them is none of this writer's.
  static absl::StatusOr<std::unique_ptr<JsonlWriter>> Resume(const std::string& file,
                                                             RowsThere& written);
  // Writes to `out`, which `name` names in errors and which outlives the writer.
  JsonlWriter(std::string name, std::ostream& out);

  absl::Status Write(const std::string& path, const Embedding& embedding) override;
  absl::Status Finish() override;

 private:
  const std::string name_;
  std::ofstream file_;  // what out_ refers to, if Create made this
  std::ostream& out_;

  JsonlWriter(std::string name, std::ofstream file);
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_JSONL_WRITER_H_
