#ifndef TOME_CLIENT_CLI_NPY_FILE_H_
#define TOME_CLIENT_CLI_NPY_FILE_H_

#include <cstdint>
#include <istream>
#include <string>

#include "absl/status/statusor.h"

// NumPy's file format (version 1.0) for a float32 matrix in C order.

namespace tome::client {

struct NpyHeader {
  uint64_t rows = 0;
  uint64_t columns = 0;
};

// Where the rows of a file begin: its header has this length whatever the number of rows, so that
// it can be written again in place.
inline constexpr uint64_t kNpyHeaderBytes = 128;

// kNpyHeaderBytes long.
std::string NpyHeaderBytes(const NpyHeader& header);

// Leaves `in` at the first row. INVALID_ARGUMENT, with `name`, for what is no such file, or for one
// whose header has another length, which no `tome embed` wrote.
absl::StatusOr<NpyHeader> ReadNpyHeader(std::istream& in, const std::string& name);

// The list of paths beside a file, one line a row.
inline std::string PathsFileOf(const std::string& file) { return file + ".paths.txt"; }

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_NPY_FILE_H_
