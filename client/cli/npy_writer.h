#ifndef TOME_CLIENT_CLI_NPY_WRITER_H_
#define TOME_CLIENT_CLI_NPY_WRITER_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "client/cli/row_writer.h"
#include "client/cli/rows_there.h"

namespace tome::client {

// A NumPy file (npy_file.h) of float32 [rows, columns], and beside it a list of the path of each
// row's picture. Rows go to disk as they come; the header is written again by Finish, which alone
// knows their number. A program killed before that leaves a file that reads as it was when it was
// opened; Resume finds the rows.
class NpyWriter final : public RowWriter {
 public:
  // Replaces both files if they are there.
  static absl::StatusOr<std::unique_ptr<NpyWriter>> Create(const std::string& file, int columns);
  // Goes on behind the rows that are whole in both files, and drops what follows them. `written`
  // gets those rows' paths. INVALID_ARGUMENT if the file is none of this writer's or has other
  // columns.
  static absl::StatusOr<std::unique_ptr<NpyWriter>> Resume(const std::string& file, int columns,
                                                           RowsThere& written);

  // INVALID_ARGUMENT for a vector of another length or a path with a line break.
  absl::Status Write(const std::string& path, const Embedding& embedding) override;
  absl::Status Finish() override;

 private:
  NpyWriter(std::string file, int columns, std::ios::openmode mode, uint64_t rows);

  void WriteHeader();

  const std::string file_;
  const int columns_;
  std::ofstream values_;
  std::ofstream paths_;
  uint64_t rows_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_NPY_WRITER_H_
