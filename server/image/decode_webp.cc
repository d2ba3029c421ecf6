#include "server/image/decode_webp.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "webp/decode.h"
#include "webp/demux.h"

#include "server/base/status.h"
#include "server/image/limits.h"
#include "server/image/metadata.h"
#include "server/image/orientation.h"

namespace tome {
namespace {

constexpr size_t kChannels = 3;
// "RIFF", the size of what follows, "WEBP"; then chunks: a name, a size, the content, a byte of
// padding if that is odd.
constexpr size_t kSizeOffset = 4;
constexpr size_t kFirstChunk = 12;
constexpr size_t kChunkHeader = 8;

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DeleteDemuxer>;

uint32_t LittleEndian(const uint8_t* bytes) {
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

int64_t CountChunks(std::span<const uint8_t> encoded) {
  int64_t chunks = 0;
  for (size_t offset = kFirstChunk; offset + kChunkHeader <= encoded.size(); ++chunks) {
    const size_t content = LittleEndian(encoded.data() + offset + 4);
    offset += kChunkHeader + content + content % 2;
  }
  return chunks;
}

// The first chunk of that name, which the demuxer points to inside the file; empty if there is
// none.
std::span<const uint8_t> Metadata(const WebPDemuxer* demuxer, const char* name) {
  WebPChunkIterator chunk = {};
  std::span<const uint8_t> content;
  if (WebPDemuxGetChunk(demuxer, name, 1, &chunk)) content = {chunk.chunk.bytes, chunk.chunk.size};
  WebPDemuxReleaseChunkIterator(&chunk);
  return content;
}

int Orientation(const WebPDemuxer* demuxer) {
  const std::span<const uint8_t> xmp = Metadata(demuxer, "XMP ");
  return OrientationOf(Metadata(demuxer, "EXIF"),
                       {reinterpret_cast<const char*>(xmp.data()), xmp.size()});
}

absl::Status NoFrame() {
  return absl::InvalidArgumentError("WebP cannot be read: it has no frame");
}

absl::StatusOr<Demuxer> OpenWebp(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  const int64_t chunks = CountChunks(encoded);
  if (chunks > limits.max_chunks) {
    return absl::InvalidArgumentError(
        absl::StrCat("WebP has ", chunks, " chunks, the limit is ", limits.max_chunks));
  }
  const WebPData data = {.bytes = encoded.data(), .size = encoded.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  Demuxer demuxer(WebPDemuxPartial(&data, &state));
  if (state == WEBP_DEMUX_DONE && demuxer != nullptr) return demuxer;
  if (state == WEBP_DEMUX_PARSE_ERROR) {
    return absl::InvalidArgumentError("WebP cannot be read: its chunks do not fit together");
  }
  const uint64_t claimed = uint64_t{LittleEndian(encoded.data() + kSizeOffset)} + kChunkHeader;
  if (encoded.size() >= claimed) {
    return NoFrame();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("WebP ends after ", encoded.size(), " bytes, its header says ", claimed));
}

absl::string_view Reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the frame ends before its last row";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it has a feature that libwebp does not read";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "there is not enough memory";
    default:
      return "the bitstream is damaged";
  }
}

// Decodes straight into its place on the canvas.
absl::Status DecodeFrame(const WebPIterator& frame, RgbImage* canvas) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return absl::InternalError("libwebp cannot be set up");
  const size_t stride = kChannels * canvas->width;
  const size_t offset = stride * frame.y_offset + kChannels * frame.x_offset;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = canvas->pixels.data() + offset;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = canvas->pixels.size() - offset;
  const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  WebPFreeDecBuffer(&config.output);
  if (status == VP8_STATUS_OK) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("WebP cannot be decoded: ", Reason(status)));
}

}  // namespace

absl::StatusOr<RgbImage> DecodeWebp(std::span<const uint8_t> encoded, const ImageLimits& limits) {
  TOME_ASSIGN_OR_RETURN(const Demuxer demuxer, OpenWebp(encoded, limits));
  const int64_t width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH);
  const int64_t height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT);
  TOME_RETURN_IF_ERROR(CheckHeaderSize("WebP", width, height, limits));

  RgbImage canvas = {
      .height = static_cast<int>(height), .width = static_cast<int>(width), .pixels = {}};
  canvas.pixels.resize(kChannels * height * width);
  WebPIterator frame = {};
  const bool has_frame = WebPDemuxGetFrame(demuxer.get(), 1, &frame);
  const absl::Status status = has_frame ? DecodeFrame(frame, &canvas) : NoFrame();
  WebPDemuxReleaseIterator(&frame);
  TOME_RETURN_IF_ERROR(status);
  return Orient(std::move(canvas), Orientation(demuxer.get()));
}

}  // namespace tome
