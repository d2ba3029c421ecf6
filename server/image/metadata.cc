#include "server/image/metadata.h"

#include <algorithm>
#include <cstddef>

namespace tome {
namespace {

constexpr absl::string_view kExifMark("Exif\0\0", 6);
constexpr uint32_t kOrientationTag = 274;
constexpr size_t kTiffHeaderBytes = 8;
constexpr size_t kEntryBytes = 12;
constexpr size_t kValueBytes = 4;  // what an entry holds itself; more is elsewhere in the block

// Numbers of a TIFF file, whose first two bytes decide the byte order.
class TiffReader {
 public:
  explicit TiffReader(std::span<const uint8_t> tiff) : tiff_(tiff), big_endian_(tiff[0] == 'M') {}

  bool Has(uint64_t offset, uint64_t bytes) const {
    return offset <= tiff_.size() && bytes <= tiff_.size() - offset;
  }

  // REQUIRES: Has(offset, bytes), bytes <= 4.
  uint32_t Number(uint64_t offset, int bytes) const {
    uint32_t number = 0;
    for (int i = 0; i < bytes; ++i) {
      const uint32_t byte = tiff_[offset + i];
      number |= byte << (8 * (big_endian_ ? bytes - 1 - i : i));
    }
    return number;
  }

 private:
  std::span<const uint8_t> tiff_;
  bool big_endian_;
};

// Bytes of one value of a TIFF type; 0 for types that do not exist, whose entries are passed over.
int TypeBytes(uint32_t type) {
  switch (type) {
    case 1:  // byte
    case 2:  // text
    case 6:  // signed byte
    case 7:  // undefined
      return 1;
    case 3:  // short
    case 8:  // signed short
      return 2;
    case 4:   // long
    case 9:   // signed long
    case 11:  // float
    case 13:  // offset of a directory
      return 4;
    case 5:   // rational
    case 10:  // signed rational
    case 12:  // double
    case 16:  // 64 bits
      return 8;
    default:
      return 0;
  }
}

// The types whose value Pillow takes for a whole number. A byte is not among them.
bool IsWholeNumber(uint32_t type) {
  return type == 3 || type == 4 || type == 6 || type == 8 || type == 9 || type == 13;
}

bool IsTiff(std::span<const uint8_t> tiff) {
  if (tiff.size() < kTiffHeaderBytes) return false;
  const bool has_order = (tiff[0] == 'I' && tiff[1] == 'I') || (tiff[0] == 'M' && tiff[1] == 'M');
  const bool has_mark = (tiff[2] == 42 && tiff[3] == 0) || (tiff[2] == 0 && tiff[3] == 42);
  return has_order && has_mark;
}

}  // namespace

std::optional<int64_t> ExifOrientation(std::span<const uint8_t> exif) {
  while (exif.size() >= kExifMark.size() &&
         std::equal(kExifMark.begin(), kExifMark.end(), exif.begin())) {
    exif = exif.subspan(kExifMark.size());
  }
  if (!IsTiff(exif)) return std::nullopt;
  const TiffReader tiff(exif);
  uint64_t entry = tiff.Number(4, 4);
  if (!tiff.Has(entry, 2)) return std::nullopt;
  const uint32_t entries = tiff.Number(entry, 2);
  entry += 2;

  // Of several entries Pillow takes the last, and none from the first that points outside on.
  std::optional<int64_t> orientation;
  for (uint32_t i = 0; i < entries && tiff.Has(entry, kEntryBytes); ++i, entry += kEntryBytes) {
    const uint32_t type = tiff.Number(entry + 2, 2);
    const uint64_t bytes = uint64_t{tiff.Number(entry + 4, 4)} * TypeBytes(type);
    if (bytes == 0) continue;
    uint64_t value = entry + 8;
    if (bytes > kValueBytes) {
      value = tiff.Number(value, 4);
      if (!tiff.Has(value, bytes)) break;
    }
    if (tiff.Number(entry, 2) != kOrientationTag) continue;
    orientation = IsWholeNumber(type) ? tiff.Number(value, TypeBytes(type)) : 0;
  }
  return orientation;
}

std::optional<int64_t> XmpOrientation(absl::string_view xmp) {
  constexpr absl::string_view kName = "tiff:Orientation";
  for (size_t found = xmp.find(kName); found != xmp.npos; found = xmp.find(kName, found + 1)) {
    absl::string_view rest = xmp.substr(found + kName.size());
    // An attribute's value, or an element's.
    for (const absl::string_view opening : {"=\"", ">"}) {
      if (rest.substr(0, opening.size()) != opening) continue;
      const absl::string_view value = rest.substr(opening.size(), 1);
      if (!value.empty() && value[0] >= '0' && value[0] <= '9') return value[0] - '0';
    }
  }
  return std::nullopt;
}

int OrientationOf(std::span<const uint8_t> exif, absl::string_view xmp) {
  std::optional<int64_t> orientation = ExifOrientation(exif);
  if (!orientation.has_value()) orientation = XmpOrientation(xmp);
  const int64_t found = orientation.value_or(1);
  return found >= 1 && found <= 8 ? static_cast<int>(found) : 1;
}

}  // namespace tome
