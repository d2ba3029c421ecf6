#ifndef TOME_SERVER_IMAGE_LIMITS_H_
#define TOME_SERVER_IMAGE_LIMITS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/image/image.h"

namespace tome {

// INVALID_ARGUMENT with the size that the header of a `format` file ("PNG") claims, width first,
// and the limit it is over. REQUIRES: width and height fit 32 bits.
absl::Status CheckHeaderSize(absl::string_view format, int64_t width, int64_t height,
                             const ImageLimits& limits);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_LIMITS_H_
