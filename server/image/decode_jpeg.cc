#include "server/image/decode_jpeg.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "jerror.h"
#include "jpeglib.h"

#include "server/base/status.h"
#include "server/image/limits.h"
#include "server/image/metadata.h"
#include "server/image/orientation.h"

namespace tome {
namespace {

using absl::string_view;

// Where EXIF and XMP stand, and what they begin with.
constexpr int kMetadataMarker = JPEG_APP0 + 1;
constexpr unsigned kLongestSegment = 0xffff;
constexpr string_view kExifMark("Exif\0\0", 6);
constexpr string_view kXmpMark("http://ns.adobe.com/xap/1.0/\0", 29);

constexpr int kInks = 4;

// Everything that survives the jump out of libjpeg when it gives up.
struct JpegReader {
  JpegReader() = default;
  ~JpegReader() { jpeg_destroy_decompress(&decoder); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  jpeg_decompress_struct decoder = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf gave_up;
  int max_scans = 0;
  bool too_many_scans = false;
  bool input_ended = false;  // libjpeg reads an end marker that the file does not have
  char problem[JMSG_LENGTH_MAX] = {};
};

JpegReader& ReaderOf(j_common_ptr decoder) {
  return *static_cast<JpegReader*>(decoder->client_data);
}

[[noreturn]] void GiveUp(j_common_ptr decoder) {
  JpegReader& reader = ReaderOf(decoder);
  decoder->err->format_message(decoder, reader.problem);
  std::longjmp(reader.gave_up, 1);
}

// Warnings after which every pixel is still what the encoder meant. All others stand for lost data,
// which libjpeg would paint over.
bool IsHarmless(int warning) {
  switch (warning) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
      return true;
    default:
      return false;
  }
}

void OnMessage(j_common_ptr decoder, int level) {
  const bool is_warning = level < 0;
  if (!is_warning) return;
  if (decoder->err->msg_code == JWRN_JPEG_EOF) {
    // Not yet a loss: a decoder that has all its rows asks for the end marker, too.
    ReaderOf(decoder).input_ended = true;
  } else if (!IsHarmless(decoder->err->msg_code)) {
    GiveUp(decoder);
  }
}

void OnProgress(j_common_ptr decoder) {
  JpegReader& reader = ReaderOf(decoder);
  if (reader.decoder.input_scan_number <= reader.max_scans) return;
  reader.too_many_scans = true;
  std::longjmp(reader.gave_up, 1);
}

// a * b / 255, rounded.
int MultiplyBytes(int a, int b) {
  const int product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

// Pillow's conversion, without a colour profile. The inks are inverted, 255 being none: Adobe's
// convention, which Pillow assumes whether or not Adobe's marker is there.
void InksToRgb(const uint8_t* inks, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, inks += kInks, rgb += 3) {
    const int light = inks[3];
    for (int channel = 0; channel < 3; ++channel) {
      rgb[channel] = static_cast<uint8_t>(light - MultiplyBytes(255 - inks[channel], light));
    }
  }
}

// The two functions that libjpeg jumps back to: nothing in them has a destructor.

bool ReadHeader(JpegReader* reader, const uint8_t* data, size_t size) {
  if (setjmp(reader->gave_up) != 0) return false;
  reader->decoder.err = jpeg_std_error(&reader->errors);
  // The only two of the standard handlers that print.
  reader->errors.error_exit = GiveUp;
  reader->errors.emit_message = OnMessage;
  reader->progress.progress_monitor = OnProgress;
  reader->decoder.client_data = reader;
  jpeg_create_decompress(&reader->decoder);
  reader->decoder.progress = &reader->progress;
  jpeg_mem_src(&reader->decoder, data, static_cast<unsigned long>(size));
  jpeg_save_markers(&reader->decoder, kMetadataMarker, kLongestSegment);
  jpeg_read_header(&reader->decoder, TRUE);
  return true;
}

// `inks` is a row's place, [width, 4] bytes, for a picture that is stored as four inks.
bool ReadRows(JpegReader* reader, uint8_t* pixels, uint8_t* inks) {
  if (setjmp(reader->gave_up) != 0) return false;
  jpeg_decompress_struct* decoder = &reader->decoder;
  const bool has_inks = decoder->num_components == kInks;
  decoder->out_color_space = has_inks ? JCS_CMYK : JCS_RGB;
  decoder->dct_method = JDCT_ISLOW;
  decoder->do_fancy_upsampling = TRUE;
  jpeg_start_decompress(decoder);
  while (decoder->output_scanline < decoder->output_height) {
    uint8_t* target = pixels + size_t{3} * decoder->output_width * decoder->output_scanline;
    JSAMPROW row = has_inks ? inks : target;
    jpeg_read_scanlines(decoder, &row, 1);
    if (has_inks) InksToRgb(inks, decoder->output_width, target);
  }
  return true;
}

absl::Status HeaderError(const JpegReader& reader, const ImageLimits& limits) {
  if (reader.input_ended) {
    return absl::InvalidArgumentError("JPEG ends inside its header");
  }
  if (reader.errors.msg_code == JERR_IMAGE_TOO_BIG) {
    // libjpeg has a limit of its own, 65500 a side; ours is the one to tell if it is lower.
    TOME_RETURN_IF_ERROR(
        CheckHeaderSize("JPEG", reader.decoder.image_width, reader.decoder.image_height, limits));
  }
  return absl::InvalidArgumentError(absl::StrCat("JPEG header cannot be read: ", reader.problem));
}

// What a valid header asks for that is not read.
absl::Status CheckKind(const jpeg_decompress_struct& decoder) {
  if (decoder.arith_code) {
    return absl::InvalidArgumentError("an arithmetic-coded JPEG; Huffman-coded ones are read");
  }
  switch (decoder.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_YCbCr:
    case JCS_RGB:
    case JCS_CMYK:
    case JCS_YCCK:
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("a JPEG of ", decoder.num_components,
                       " components; 1 (grey), 3 and 4 (CMYK, YCCK) are read"));
  }
}

// The scans that the file has, without decoding them: markers and the lengths behind them.
int64_t CountScans(std::span<const uint8_t> encoded) {
  constexpr uint8_t kStartOfScan = 0xda;
  constexpr uint8_t kEndOfImage = 0xd9;
  const auto stands_alone = [](uint8_t marker) {
    return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8);
  };
  int64_t scans = 0;
  const uint8_t* next = encoded.data();
  const uint8_t* const end = next + encoded.size();
  while (next != end) {
    next = static_cast<const uint8_t*>(std::memchr(next, 0xff, end - next));
    if (next == nullptr) break;
    while (next != end && *next == 0xff) ++next;
    if (next == end) break;
    const uint8_t marker = *next++;
    if (marker == kEndOfImage) break;
    if (marker == 0 || stands_alone(marker)) continue;  // 0: a byte 0xff of a scan
    if (marker == kStartOfScan) ++scans;
    if (end - next < 2) break;
    const int length = next[0] << 8 | next[1];  // of itself, too
    if (length > end - next) break;
    next += length;
  }
  return scans;
}

absl::Status ScansError(int64_t scans, int limit) {
  return absl::InvalidArgumentError(
      absl::StrCat("JPEG has ", scans, " scans, the limit is ", limit));
}

int Orientation(const jpeg_decompress_struct& decoder) {
  std::string exif;  // a long block is spread over several segments
  string_view xmp;   // of several the last counts, as in Pillow
  for (const jpeg_marker_struct* segment = decoder.marker_list; segment != nullptr;
       segment = segment->next) {
    const string_view text(reinterpret_cast<const char*>(segment->data), segment->data_length);
    if (text.substr(0, kExifMark.size()) == kExifMark) {
      exif.append(text.data() + kExifMark.size(), text.size() - kExifMark.size());
    } else if (text.substr(0, kXmpMark.size()) == kXmpMark) {
      xmp = text.substr(kXmpMark.size());
    }
  }
  return OrientationOf({reinterpret_cast<const uint8_t*>(exif.data()), exif.size()}, xmp);
}

absl::Status RowsError(JpegReader& reader) {
  jpeg_decompress_struct& decoder = reader.decoder;
  if (reader.too_many_scans) {
    return ScansError(decoder.input_scan_number, reader.max_scans);
  }
  // Several scans are all read before the first row is made.
  const bool several_scans = jpeg_has_multiple_scans(&decoder);
  const std::string place =
      several_scans ? absl::StrCat("scan ", decoder.input_scan_number)
                    : absl::StrCat("row ", decoder.output_scanline, " of ", decoder.image_height);
  if (reader.input_ended) {
    return absl::InvalidArgumentError(absl::StrCat("JPEG ends before its ",
                                                   several_scans ? "end marker" : "last scan line",
                                                   " (", place, ")"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("JPEG cannot be decoded (", place, "): ", reader.problem));
}

struct StoredImage {
  RgbImage image;
  int orientation = 1;
};

absl::StatusOr<StoredImage> ReadStored(std::span<const uint8_t> encoded,
                                       const ImageLimits& limits) {
  JpegReader reader;
  reader.max_scans = limits.max_scans;
  if (!ReadHeader(&reader, encoded.data(), encoded.size())) return HeaderError(reader, limits);
  const jpeg_decompress_struct& decoder = reader.decoder;
  TOME_RETURN_IF_ERROR(CheckHeaderSize("JPEG", decoder.image_width, decoder.image_height, limits));
  TOME_RETURN_IF_ERROR(CheckKind(decoder));
  const bool several_scans = jpeg_has_multiple_scans(&reader.decoder);
  if (several_scans) {
    const int64_t scans = CountScans(encoded);
    if (scans > limits.max_scans) return ScansError(scans, limits.max_scans);
  }

  StoredImage stored = {.image = {}, .orientation = Orientation(decoder)};
  RgbImage& image = stored.image;
  image.height = static_cast<int>(decoder.image_height);
  image.width = static_cast<int>(decoder.image_width);
  image.pixels.resize(size_t{3} * image.height * image.width);
  std::vector<uint8_t> inks(decoder.num_components == kInks ? size_t{kInks} * image.width : 0);
  if (!ReadRows(&reader, image.pixels.data(), inks.data())) return RowsError(reader);
  // Of several scans the missing ones would have refined the picture, or brought its colours.
  if (reader.input_ended && several_scans) return RowsError(reader);
  return stored;
}

}  // namespace

absl::StatusOr<RgbImage> DecodeJpeg(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  // What libjpeg holds of several scans is given back before the picture is turned.
  TOME_ASSIGN_OR_RETURN(StoredImage stored, ReadStored(encoded, limits));
  return Orient(std::move(stored.image), stored.orientation);
}

}  // namespace tome
