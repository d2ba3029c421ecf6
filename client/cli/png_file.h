#ifndef TOME_CLIENT_CLI_PNG_FILE_H_
#define TOME_CLIENT_CLI_PNG_FILE_H_

#include <string>

#include "absl/status/statusor.h"

#include "client/embedding.h"

namespace tome::client {

// The bytes of a PNG file. INTERNAL for sides that a PNG cannot have. REQUIRES: a byte a channel of
// each pixel.
absl::StatusOr<std::string> PngBytes(const RgbImage& image);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_PNG_FILE_H_
