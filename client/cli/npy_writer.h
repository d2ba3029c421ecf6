#ifndef TOME_CLIENT_CLI_NPY_WRITER_H_
#define TOME_CLIENT_CLI_NPY_WRITER_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "client/cli/row_writer.h"

namespace tome::client {

// NumPy's format (version 1.0): float32 [rows, columns] in FILE, and in FILE.paths.txt the path of
// each row's picture, one a line. Rows go to disk as they come; the header, of fixed length, is
// written again by Finish, which alone knows their number. A program killed before that leaves a
// file that reads as empty.
class NpyWriter final : public RowWriter {
 public:
  // Replaces both files if they are there.
  static absl::StatusOr<std::unique_ptr<NpyWriter>> Create(const std::string& file, int columns);

  // INVALID_ARGUMENT for a vector of another length or a path with a line break.
  absl::Status Write(const std::string& path, const Embedding& embedding) override;
  absl::Status Finish() override;

 private:
  NpyWriter(std::string file, int columns);

  void WriteHeader();

  const std::string file_;
  const int columns_;
  std::ofstream values_;
  std::ofstream paths_;
  uint64_t rows_ = 0;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_NPY_WRITER_H_
