#include "server/image/decode_png.h"

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "png.h"

#include "server/base/status.h"
#include "server/image/limits.h"
#include "server/image/orientation.h"
#include "server/image/png_chunks.h"

namespace tome {
namespace {

// Signature, then the IHDR chunk: length, name, width, height.
constexpr size_t kNameOffset = 12;
constexpr size_t kWidthOffset = 16;
constexpr size_t kHeightOffset = 20;
constexpr size_t kSizeEnd = 24;

// Only PLTE and tRNS are kept in memory, and both have a size of their own: 1 MiB is a second
// fence.
constexpr png_alloc_size_t kMaxChunkBytes = 1 << 20;
constexpr png_uint_32 kMaxCachedChunks = 16;

// Everything that survives the jump out of libpng when it gives up.
struct PngReader {
  PngReader() = default;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  png_structp png = nullptr;
  png_infop info = nullptr;
  const uint8_t* unread = nullptr;
  size_t unread_bytes = 0;
  bool input_ended = false;
  int passes = 1;  // 7 if interlaced
  int pass = 0;
  int row = 0;
  char problem[256] = {};
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  PngReader& reader = *static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(reader.problem, sizeof(reader.problem), "%s", message);
  png_longjmp(png, 1);
}

// libpng's default prints to standard error. What it warns of does not touch the pixels.
void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep target, size_t bytes) {
  PngReader& reader = *static_cast<PngReader*>(png_get_io_ptr(png));
  if (bytes > reader.unread_bytes) {
    reader.input_ended = true;
    png_error(png, "the file ends");
  }
  std::memcpy(target, reader.unread, bytes);
  reader.unread += bytes;
  reader.unread_bytes -= bytes;
}

// The two functions that libpng jumps back to: nothing in them has a destructor.

bool ReadHeader(PngReader* reader, png_uint_32 max_side) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) return false;
  png_set_read_fn(reader->png, reader, OnRead);
  png_set_user_limits(reader->png, max_side, max_side);
  png_set_chunk_malloc_max(reader->png, kMaxChunkBytes);
  png_set_chunk_cache_max(reader->png, kMaxCachedChunks);
  png_set_crc_action(reader->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  // Skips every chunk that the pixels do not need: text and profiles are not even decompressed.
  png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(reader->png, reader->info);
  return true;
}

bool ReadRows(PngReader* reader, uint8_t* pixels, size_t row_bytes, int height) {
  png_structp png = reader->png;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_palette_to_rgb(png);
  png_set_expand_gray_1_2_4_to_8(png);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_gray_to_rgb(png);
  reader->passes = png_set_interlace_handling(png);
  png_read_update_info(png, reader->info);
  if (png_get_rowbytes(png, reader->info) != row_bytes) png_error(png, "unexpected row size");
  for (reader->pass = 0; reader->pass < reader->passes; ++reader->pass) {
    for (reader->row = 0; reader->row < height; ++reader->row) {
      png_read_row(png, pixels + row_bytes * reader->row, nullptr);
    }
  }
  return true;
}

absl::Status HeaderError(const PngReader& reader) {
  if (reader.input_ended) return absl::InvalidArgumentError("PNG ends inside its header");
  return absl::InvalidArgumentError(absl::StrCat("PNG header cannot be read: ", reader.problem));
}

absl::Status RowsError(const PngReader& reader, int height) {
  std::string place = absl::StrCat("row ", reader.row, " of ", height);
  if (reader.passes > 1) {
    absl::StrAppend(&place, ", interlace pass ", reader.pass + 1, " of ", reader.passes);
  }
  if (reader.input_ended) {
    return absl::InvalidArgumentError(absl::StrCat("PNG ends before its last row (", place, ")"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("PNG cannot be decoded (", place, "): ", reader.problem));
}

// The pixels as they are stored.
absl::StatusOr<RgbImage> ReadPixels(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  // The size is read here, ahead of libpng, whose own limits do not tell what they found.
  if (encoded.size() < kSizeEnd) return absl::InvalidArgumentError("PNG ends inside its header");
  if (std::memcmp(encoded.data() + kNameOffset, "IHDR", 4) != 0) {
    return absl::InvalidArgumentError("PNG does not start with its IHDR chunk");
  }
  const png_uint_32 width = png_get_uint_32(encoded.data() + kWidthOffset);
  const png_uint_32 height = png_get_uint_32(encoded.data() + kHeightOffset);
  TOME_RETURN_IF_ERROR(CheckHeaderSize("PNG", width, height, limits));

  PngReader reader;
  reader.unread = encoded.data();
  reader.unread_bytes = encoded.size();
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, OnError, OnWarning);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) return absl::InternalError("libpng cannot be set up");
  if (!ReadHeader(&reader, static_cast<png_uint_32>(limits.max_side))) return HeaderError(reader);

  RgbImage image;
  image.height = static_cast<int>(height);
  image.width = static_cast<int>(width);
  const size_t row_bytes = size_t{3} * width;
  image.pixels.resize(row_bytes * height);
  if (!ReadRows(&reader, image.pixels.data(), row_bytes, image.height)) {
    return RowsError(reader, image.height);
  }
  return image;
}

}  // namespace

absl::StatusOr<RgbImage> DecodePng(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  TOME_ASSIGN_OR_RETURN(const int orientation, ReadPngOrientation(encoded, limits));
  TOME_ASSIGN_OR_RETURN(RgbImage stored, ReadPixels(encoded, limits));
  return Orient(std::move(stored), orientation);
}

}  // namespace tome
