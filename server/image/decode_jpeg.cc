#include "server/image/decode_jpeg.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "jerror.h"
#include "jpeglib.h"

#include "server/base/status.h"
#include "server/image/limits.h"

namespace tome {
namespace {

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
  jpeg_read_header(&reader->decoder, TRUE);
  return true;
}

bool ReadRows(JpegReader* reader, uint8_t* pixels) {
  if (setjmp(reader->gave_up) != 0) return false;
  jpeg_decompress_struct* decoder = &reader->decoder;
  decoder->out_color_space = JCS_RGB;
  decoder->dct_method = JDCT_ISLOW;
  decoder->do_fancy_upsampling = TRUE;
  jpeg_start_decompress(decoder);
  while (decoder->output_scanline < decoder->output_height) {
    JSAMPROW row = pixels + size_t{3} * decoder->output_width * decoder->output_scanline;
    jpeg_read_scanlines(decoder, &row, 1);
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
      return absl::OkStatus();
    case JCS_CMYK:
      return absl::InvalidArgumentError("a CMYK JPEG; grey, YCbCr and RGB ones are read");
    case JCS_YCCK:
      return absl::InvalidArgumentError("a YCCK JPEG; grey, YCbCr and RGB ones are read");
    default:
      return absl::InvalidArgumentError(absl::StrCat("a JPEG of ", decoder.num_components,
                                                     " components; 1 (grey) and 3 are read"));
  }
}

absl::Status RowsError(JpegReader& reader) {
  jpeg_decompress_struct& decoder = reader.decoder;
  if (reader.too_many_scans) {
    return absl::InvalidArgumentError(absl::StrCat(
        "JPEG has ", decoder.input_scan_number, " scans or more, the limit is ", reader.max_scans));
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

}  // namespace

absl::StatusOr<RgbImage> DecodeJpeg(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  JpegReader reader;
  reader.max_scans = limits.max_scans;
  if (!ReadHeader(&reader, encoded.data(), encoded.size())) return HeaderError(reader, limits);
  const jpeg_decompress_struct& decoder = reader.decoder;
  TOME_RETURN_IF_ERROR(CheckHeaderSize("JPEG", decoder.image_width, decoder.image_height, limits));
  TOME_RETURN_IF_ERROR(CheckKind(decoder));

  RgbImage image;
  image.height = static_cast<int>(decoder.image_height);
  image.width = static_cast<int>(decoder.image_width);
  image.pixels.resize(size_t{3} * image.height * image.width);
  if (!ReadRows(&reader, image.pixels.data())) return RowsError(reader);
  // Of several scans the missing ones would have refined the picture, or brought its colours.
  if (reader.input_ended && jpeg_has_multiple_scans(&reader.decoder)) return RowsError(reader);
  return image;
}

}  // namespace tome
