#include "server/image/limits.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace tome {

absl::Status CheckHeaderSize(absl::string_view format, int64_t width, int64_t height,
                             const ImageLimits& limits) {
  const std::string claim =
      absl::StrCat(format, " header says ", width, " x ", height, " pixels, ");
  // Sides first: the product of two sides within an int cannot overflow.
  if (width > limits.max_side || height > limits.max_side) {
    return absl::InvalidArgumentError(
        absl::StrCat(claim, "the limit is ", limits.max_side, " a side"));
  }
  if (width * height > limits.max_pixels) {
    return absl::InvalidArgumentError(
        absl::StrCat(claim, width * height, " in all, the limit is ", limits.max_pixels));
  }
  return absl::OkStatus();
}

}  // namespace tome
