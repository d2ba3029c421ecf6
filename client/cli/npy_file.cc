#include "client/cli/npy_file.h"

#include <bit>
#include <cstddef>
#include <regex>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tome::client {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

// Magic, version and the length of the text, which follows; all of it a multiple of 64 as the
// format asks, and with room for any number of rows.
constexpr size_t kPreambleBytes = 10;
constexpr size_t kTextBytes = kNpyHeaderBytes - kPreambleBytes;

std::string Preamble() {
  std::string preamble("\x93NUMPY\x01\x00", 8);
  preamble += static_cast<char>(kTextBytes & 0xff);
  preamble += static_cast<char>(kTextBytes >> 8);
  return preamble;
}

}  // namespace

std::string NpyHeaderBytes(const NpyHeader& header) {
  std::string text = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (",
                                  header.rows, ", ", header.columns, "), }");
  text.resize(kTextBytes - 1, ' ');
  return Preamble() + text + '\n';
}

absl::StatusOr<NpyHeader> ReadNpyHeader(std::istream& in, const std::string& name) {
  static const auto* const pattern = new std::regex(
      R"(\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \} *\n)");
  std::string bytes(kNpyHeaderBytes, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  NpyHeader header;
  std::smatch shape;
  const std::string text = bytes.substr(kPreambleBytes);
  if (!in || bytes.substr(0, kPreambleBytes) != Preamble() ||
      !std::regex_match(text, shape, *pattern) || !absl::SimpleAtoi(shape[1].str(), &header.rows) ||
      !absl::SimpleAtoi(shape[2].str(), &header.columns) || header.columns == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is no float32 matrix that tome embed wrote"));
  }
  return header;
}

}  // namespace tome::client
