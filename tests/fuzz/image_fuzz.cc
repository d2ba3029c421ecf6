// The image decoders, through the one entry that the server uses. Whatever the bytes are, the
// answer is a picture within the limits or INVALID_ARGUMENT with a text.

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "server/image/decode.h"
#include "server/image/resize_crop.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

// Small, so that a second tries thousands of files.
constexpr tome::ImageLimits kLimits = {.max_bytes = 1 << 16,
                                       .max_pixels = 1 << 16,
                                       .max_side = 1 << 12,
                                       .max_scans = 16,
                                       .max_chunks = 64};
constexpr tome::Preprocessing kPreprocessing = {
    .resize_height = 12, .resize_width = 12, .crop_height = 14, .crop_width = 8};

void Require(bool holds) {
  if (!holds) std::abort();
}

uint8_t* BigEndian(uint32_t number, uint8_t* target) {
  for (int i = 0; i < 4; ++i) target[i] = static_cast<uint8_t>(number >> (24 - 8 * i));
  return target;
}

// Else nearly every mutation of a PNG would end at its check sum.
void CorrectCheckSums(uint8_t* data, size_t size) {
  constexpr size_t kSignature = 8, kAround = 12;
  if (size < kSignature || std::memcmp(data, "\x89PNG\r\n\x1a\n", kSignature) != 0) return;
  for (size_t offset = kSignature; offset + kAround <= size;) {
    size_t length = 0;
    for (int i = 0; i < 4; ++i) length = length << 8 | data[offset + i];
    if (length > size - offset - kAround) return;
    uint8_t* const name = data + offset + 4;
    BigEndian(static_cast<uint32_t>(crc32_z(0, name, length + 4)), name + 4 + length);
    offset += length + kAround;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  // Now and then a wrong sum stays.
  if (seed % 16 != 0) CorrectCheckSums(data, size);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of its own, so that reading on is seen by the address sanitizer.
  const std::vector<uint8_t> encoded(data, data + size);
  const absl::StatusOr<tome::RgbImage> image = tome::DecodeImage(encoded, kLimits);
  if (!image.ok()) {
    Require(absl::IsInvalidArgument(image.status()) && !image.status().message().empty());
    return 0;
  }
  Require(image->height > 0 && image->width > 0);
  Require(std::max(image->height, image->width) <= kLimits.max_side);
  Require(int64_t{image->height} * image->width <= kLimits.max_pixels);
  Require(image->pixels.size() == size_t{3} * image->height * image->width);
  const std::vector<uint8_t> crop =
      tome::ResizeAndCrop({image->height, image->width, image->pixels}, kPreprocessing);
  Require(crop.size() == size_t{3} * kPreprocessing.crop_height * kPreprocessing.crop_width);
  return 0;
}
