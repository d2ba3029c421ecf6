#include "server/image/png_chunks.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "zlib.h"

#include "server/image/metadata.h"

namespace tome {
namespace {

using absl::string_view;

constexpr size_t kSignatureBytes = 8;
// Pillow's MAX_TEXT_CHUNK.
constexpr size_t kMaxTextBytes = 1 << 20;
constexpr string_view kRawProfile = "Raw profile type exif";

uint32_t BigEndian(const char* bytes) {
  uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

// The text that zlib made `compressed` of; empty if it is damaged or too long.
std::string Inflate(string_view compressed) {
  std::string text(kMaxTextBytes, '\0');
  uLongf bytes = kMaxTextBytes;
  const int result =
      uncompress(reinterpret_cast<Bytef*>(text.data()), &bytes,
                 reinterpret_cast<const Bytef*>(compressed.data()), compressed.size());
  text.resize(result == Z_OK ? bytes : 0);
  return text;
}

// What stands before the next zero byte, which `rest` is moved behind; all of it if there is none.
string_view UpToZero(string_view* rest) {
  const size_t end = std::min(rest->find('\0'), rest->size());
  const string_view text = rest->substr(0, end);
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return text;
}

// ImageMagick's text: an empty line, a name, a length, then hexadecimal digits in lines.
std::vector<uint8_t> RawProfile(string_view text) {
  for (int line = 0; line < 3; ++line) {
    text.remove_prefix(std::min(text.find('\n'), text.size()));
    text.remove_prefix(std::min<size_t>(1, text.size()));
  }
  std::vector<uint8_t> bytes;
  int high = -1;
  for (const char c : text) {
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return {};
    const int digit =
        c <= '9' ? c - '0' : absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10;
    if (high >= 0) bytes.push_back(static_cast<uint8_t>(16 * high + digit));
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

// A text chunk's text, inflated only where it is used: of many bombs one is opened at most.
struct Text {
  string_view stored;
  bool compressed = false;

  std::string Read() const { return compressed ? Inflate(stored) : std::string(stored); }
};

// Where an orientation may be, as far as it was met.
struct Metadata {
  std::span<const uint8_t> exif;
  Text raw_profile;
  Text xmp;

  void Note(string_view name, string_view rest) {
    if (name == "eXIf") {
      exif = {reinterpret_cast<const uint8_t*>(rest.data()), rest.size()};
      return;
    }
    const string_view keyword = UpToZero(&rest);
    if (name == "tEXt" && keyword == kRawProfile) {
      raw_profile = {.stored = rest, .compressed = false};
    } else if (name == "zTXt" && keyword == kRawProfile && !rest.empty()) {
      // The first byte is the method, of which there is one.
      raw_profile = {.stored = rest.substr(1), .compressed = true};
    } else if (name == "iTXt" && keyword == "XML:com.adobe.xmp" && rest.size() >= 2) {
      const bool compressed = rest[0] != 0;
      rest.remove_prefix(2);
      UpToZero(&rest);  // the language
      UpToZero(&rest);  // the keyword in that language
      xmp = {.stored = rest, .compressed = compressed};
    }
  }

  int Orientation() const {
    const std::vector<uint8_t> profile = RawProfile(raw_profile.Read());
    return OrientationOf(exif.empty() ? std::span<const uint8_t>(profile) : exif, xmp.Read());
  }
};

bool HoldsOrientation(string_view name) {
  return name == "eXIf" || name == "tEXt" || name == "zTXt" || name == "iTXt";
}

// What is left of the file from a chunk on.
class ChunkReader {
 public:
  explicit ChunkReader(std::span<const uint8_t> rest)
      : next_(reinterpret_cast<const char*>(rest.data())), bytes_(rest.size()) {}

  // A chunk's length and name are there.
  bool HasHead() const { return bytes_ >= kHeadBytes; }
  string_view Name() const { return {next_ + kNameOffset, kNameBytes}; }

  // The whole chunk is there. REQUIRES: HasHead().
  bool IsWhole() const {
    const size_t rest = bytes_ - kHeadBytes;
    return rest >= kCheckSumBytes && Length() <= rest - kCheckSumBytes;
  }
  // REQUIRES the whole chunk, as do those below.
  string_view Content() const { return {next_ + kHeadBytes, Length()}; }
  bool IsIntact() const {
    const auto* name = reinterpret_cast<const Bytef*>(next_ + kNameOffset);
    return crc32_z(0, name, kNameBytes + Length()) == BigEndian(next_ + kHeadBytes + Length());
  }
  void Skip() {
    const size_t bytes = kHeadBytes + Length() + kCheckSumBytes;
    next_ += bytes;
    bytes_ -= bytes;
  }

 private:
  static constexpr size_t kNameOffset = 4;
  static constexpr size_t kNameBytes = 4;
  static constexpr size_t kHeadBytes = kNameOffset + kNameBytes;
  static constexpr size_t kCheckSumBytes = 4;

  size_t Length() const { return BigEndian(next_); }

  const char* next_;
  size_t bytes_;
};

}  // namespace

absl::StatusOr<int> ReadPngOrientation(std::span<const uint8_t> encoded,
                                       const ImageLimits& limits) {
  Metadata metadata;
  int64_t chunks = 0;
  bool pixels_met = false;
  bool second_frame_met = false;
  for (ChunkReader chunk(encoded.subspan(kSignatureBytes)); chunk.HasHead(); chunk.Skip()) {
    ++chunks;
    const string_view name = chunk.Name();
    const bool wanted = HoldsOrientation(name) && !second_frame_met;
    if (!chunk.IsWhole()) {
      if (!wanted) break;  // libpng tells, if it is needed
      return absl::InvalidArgumentError(absl::StrCat("PNG ends inside its ", name, " chunk"));
    }
    if (name == "IEND") break;
    if (wanted && !chunk.IsIntact()) {
      return absl::InvalidArgumentError(absl::StrCat("PNG ", name, " chunk has a wrong check sum"));
    }
    if (wanted) metadata.Note(name, chunk.Content());
    if (name == "fcTL" && pixels_met) second_frame_met = true;
    if (name == "IDAT") pixels_met = true;
  }
  if (chunks > limits.max_chunks) {
    return absl::InvalidArgumentError(
        absl::StrCat("PNG has ", chunks, " chunks, the limit is ", limits.max_chunks));
  }
  return metadata.Orientation();
}

}  // namespace tome
