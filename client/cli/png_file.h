#ifndef TOME_CLIENT_CLI_PNG_FILE_H_
#define TOME_CLIENT_CLI_PNG_FILE_H_

#include <string>

#include "absl/status/status.h"

#include "client/embedding.h"

namespace tome::client {

// Writes a PNG file, in the place of one that is there. INVALID_ARGUMENT names the file where it
// cannot be written. REQUIRES: both sides > 0.
absl::Status WritePng(const RgbImage& image, const std::string& file);

// The bytes of such a file.
std::string PngBytes(const RgbImage& image);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_PNG_FILE_H_
