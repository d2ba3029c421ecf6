#include "tests/client/npy.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <regex>

namespace tome::client {

Npy ParseNpy(const std::string& bytes) {
  Npy npy;
  if (bytes.size() < 10 || bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) != 0) {
    ADD_FAILURE() << "no NumPy file of version 1.0: " << bytes.size() << " bytes";
    return npy;
  }
  const size_t length = static_cast<uint8_t>(bytes[8]) | static_cast<uint8_t>(bytes[9]) << 8;
  const size_t start = 10 + length;
  EXPECT_EQ(start % 64, 0u);
  const std::string header = bytes.substr(10, length);
  std::smatch match;
  const std::regex pattern(
      R"(\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \} *\n)");
  if (start > bytes.size() || !std::regex_match(header, match, pattern)) {
    ADD_FAILURE() << "the header is: " << header;
    return npy;
  }
  npy.shape = {std::stoi(match[1]), std::stoi(match[2])};
  npy.values.resize(static_cast<size_t>(npy.shape[0]) * npy.shape[1]);
  const size_t need = npy.values.size() * sizeof(float);
  if (start + need > bytes.size()) {
    ADD_FAILURE() << "the shape needs " << need << " bytes, there are " << bytes.size() - start;
    npy.values.clear();
    return npy;
  }
  std::memcpy(npy.values.data(), bytes.data() + start, need);
  return npy;
}

}  // namespace tome::client
