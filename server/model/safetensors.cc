#include "server/model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <nlohmann/json.hpp>

#include "server/base/status.h"

namespace tome {
namespace {

// The cap of the format's own library. Real headers are a few hundred kilobytes.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxDimensions = 16;
// The largest models have a few thousand; a header within its limit could name millions, at some
// hundred bytes of memory each.
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kMaxNameBytes = 4096;

struct TypeFacts {
  TensorType type;
  absl::string_view name;
  uint64_t bytes;
};

constexpr std::array<TypeFacts, 13> kTypes = {{
    {TensorType::kBool, "BOOL", 1},
    {TensorType::kUint8, "U8", 1},
    {TensorType::kInt8, "I8", 1},
    {TensorType::kInt16, "I16", 2},
    {TensorType::kUint16, "U16", 2},
    {TensorType::kFloat16, "F16", 2},
    {TensorType::kBFloat16, "BF16", 2},
    {TensorType::kInt32, "I32", 4},
    {TensorType::kUint32, "U32", 4},
    {TensorType::kFloat32, "F32", 4},
    {TensorType::kInt64, "I64", 8},
    {TensorType::kUint64, "U64", 8},
    {TensorType::kFloat64, "F64", 8},
}};

const TypeFacts* FindType(absl::string_view name) {
  const auto* found =
      std::ranges::find_if(kTypes, [&](const TypeFacts& facts) { return facts.name == name; });
  return found == kTypes.end() ? nullptr : found;
}

const TypeFacts& FactsOf(TensorType type) {
  return *std::ranges::find_if(kTypes, [&](const TypeFacts& facts) { return facts.type == type; });
}

// A name from the file, cut to what fits a line.
std::string Quoted(absl::string_view name) {
  constexpr size_t kShown = 100;
  return absl::CEscape(name.substr(0, kShown));
}

absl::Status Problem(absl::string_view tensor, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(Quoted(tensor), ": ", problem));
}

// What the header says of one tensor, before any of it is believed.
struct HeaderEntry {
  std::string name;
  std::optional<std::string> dtype = std::nullopt;
  std::optional<std::vector<uint64_t>> shape = std::nullopt;
  std::optional<std::vector<uint64_t>> offsets = std::nullopt;
};

// Reads the header's JSON as it streams by and stops at the first thing that the format does not
// know, so that neither depth nor size of a hostile header costs memory: no document is ever built.
//   {"__metadata__": {"key": "text", ...},
//    "name": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}, ...}
class HeaderReader final : public nlohmann::json::json_sax_t {
 public:
  const std::string& problem() const { return problem_; }
  std::vector<HeaderEntry> TakeEntries() { return std::move(entries_); }

  bool start_object(size_t) override {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return true;
      case Place::kTopValue:
        if (key_ == "__metadata__") {
          place_ = Place::kMetadata;
        } else {
          entries_.push_back({.name = key_});
          place_ = Place::kTensor;
        }
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool end_object() override {
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool key(string_t& name) override {
    switch (place_) {
      case Place::kTop:
        if (name.size() > kMaxNameBytes) {
          return Fail(absl::StrCat(Quoted(name), "...: the name has ", name.size(),
                                   " bytes, the limit is ", kMaxNameBytes));
        }
        if (!names_.insert(name).second) {
          return Fail(absl::StrCat(Quoted(name), ": the name comes twice"));
        }
        if (names_.size() > kMaxTensors) {
          return Fail(absl::StrCat("the header names more than ", kMaxTensors, " tensors"));
        }
        key_ = name;
        place_ = Place::kTopValue;
        return true;
      case Place::kMetadata:
        place_ = Place::kMetadataValue;
        return true;
      default:
        return TensorKey(name);
    }
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadataValue) {
      place_ = Place::kMetadata;
      return true;
    }
    if (place_ == Place::kDtype) {
      entries_.back().dtype = text;
      place_ = Place::kTensor;
      return true;
    }
    return Unexpected("a string");
  }

  bool start_array(size_t) override {
    if (place_ == Place::kShape) {
      entries_.back().shape.emplace();
      place_ = Place::kShapeList;
      return true;
    }
    if (place_ == Place::kOffsets) {
      entries_.back().offsets.emplace();
      place_ = Place::kOffsetsList;
      return true;
    }
    return Unexpected("a list");
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    std::optional<std::vector<uint64_t>>* list = nullptr;
    if (place_ == Place::kShapeList) list = &entries_.back().shape;
    if (place_ == Place::kOffsetsList) list = &entries_.back().offsets;
    if (list == nullptr) return Unexpected("a number");
    if ((*list)->size() == kMaxDimensions) {
      return Fail(
          absl::StrCat(Quoted(key_), ": a list has more than ", kMaxDimensions, " numbers"));
    }
    (*list)->push_back(value);
    return true;
  }

  bool number_integer(number_integer_t value) override {
    return Unexpected(absl::StrCat("the number ", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Unexpected(absl::StrCat("the number ", Quoted(text)));
  }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("the header is not valid JSON at byte ", position));
  }

 private:
  enum class Place {
    kStart,
    kTop,
    kTopValue,
    kMetadata,
    kMetadataValue,
    kTensor,
    kDtype,
    kShape,
    kShapeList,
    kOffsets,
    kOffsetsList,
    kEnd,
  };

  bool TensorKey(const std::string& name) {
    HeaderEntry& entry = entries_.back();
    bool again = false;
    if (name == "dtype") {
      place_ = Place::kDtype;
      again = entry.dtype.has_value();
    } else if (name == "shape") {
      place_ = Place::kShape;
      again = entry.shape.has_value();
    } else if (name == "data_offsets") {
      place_ = Place::kOffsets;
      again = entry.offsets.has_value();
    } else {
      return Fail(absl::StrCat(Quoted(key_), ": unknown key \"", Quoted(name), "\""));
    }
    if (again) return Fail(absl::StrCat(Quoted(key_), ": ", name, " comes twice"));
    return true;
  }

  bool Unexpected(absl::string_view what) {
    return Fail(key_.empty()
                    ? absl::StrCat("the header begins with ", what)
                    : absl::StrCat(Quoted(key_), ": ", what, " where the format has none"));
  }

  bool Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }

  Place place_ = Place::kStart;
  std::string key_;
  std::set<std::string> names_;
  std::vector<HeaderEntry> entries_;
  std::string problem_;
};

// dtype, shape and byte range of one entry, each checked, as a view into `data`.
absl::StatusOr<TensorView> CheckedView(const HeaderEntry& entry, std::span<const std::byte> data,
                                       size_t data_start) {
  if (!entry.dtype.has_value()) return Problem(entry.name, "dtype is missing");
  if (!entry.shape.has_value()) return Problem(entry.name, "shape is missing");
  if (!entry.offsets.has_value()) return Problem(entry.name, "data_offsets is missing");
  const TypeFacts* facts = FindType(*entry.dtype);
  if (facts == nullptr) {
    return Problem(entry.name, absl::StrCat("unknown dtype \"", Quoted(*entry.dtype), "\""));
  }
  TensorView view;
  view.type = facts->type;
  uint64_t bytes = facts->bytes;
  for (const uint64_t dimension : *entry.shape) {
    // A tensor that fits the file never gets near 2^63, so int64_t holds what passes.
    if (__builtin_mul_overflow(bytes, dimension, &bytes) ||
        dimension > static_cast<uint64_t>(INT64_MAX)) {
      return Problem(entry.name, absl::StrCat("shape [", absl::StrJoin(*entry.shape, ", "),
                                              "] overflows 64 bits of bytes"));
    }
    view.shape.push_back(static_cast<int64_t>(dimension));
  }
  if (entry.offsets->size() != 2) {
    return Problem(entry.name, absl::StrCat("data_offsets has ", entry.offsets->size(),
                                            " numbers, expected 2"));
  }
  const uint64_t begin = (*entry.offsets)[0];
  const uint64_t end = (*entry.offsets)[1];
  if (begin > end || end > data.size()) {
    return Problem(entry.name, absl::StrCat("bytes ", begin, " to ", end, " of the file's ",
                                            data.size(), " bytes of tensors"));
  }
  if (end - begin != bytes) {
    return Problem(entry.name,
                   absl::StrCat(end - begin, " bytes, but ", *entry.dtype, " of shape [",
                                absl::StrJoin(*entry.shape, ", "), "] has ", bytes));
  }
  if ((data_start + begin) % facts->bytes != 0) {
    return Problem(entry.name,
                   absl::StrCat("starts at byte ", data_start + begin, " of the file, which ",
                                *entry.dtype, " needs to be a multiple of ", facts->bytes));
  }
  view.bytes = data.subspan(begin, bytes);
  return view;
}

}  // namespace

absl::string_view TensorTypeName(TensorType type) { return FactsOf(type).name; }

struct SafetensorsFile::Mapping {
  Mapping(void* address, size_t length) : start(address), bytes(length) {}
  ~Mapping() { munmap(start, bytes); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void* const start;
  const size_t bytes;
};

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const std::string reason = std::strerror(errno);
    if (errno == ENOENT) return absl::NotFoundError(reason);
    return absl::InvalidArgumentError(absl::StrCat("cannot be opened: ", reason));
  }
  struct stat facts {};
  const bool regular = fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode);
  const size_t size = regular ? static_cast<size_t>(facts.st_size) : 0;
  if (size < kLengthBytes) {
    close(descriptor);
    return absl::InvalidArgumentError(
        regular ? absl::StrCat("has ", size, " bytes, too few for a header length")
                : "is not a regular file");
  }
  void* start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int map_error = errno;
  close(descriptor);
  if (start == MAP_FAILED) {
    return absl::InvalidArgumentError(absl::StrCat("cannot be mapped: ", std::strerror(map_error)));
  }
  SafetensorsFile file;
  file.mapping_ = std::make_shared<const Mapping>(start, size);
  const std::span<const std::byte> bytes = file.file_bytes();

  uint64_t header_bytes = 0;
  for (size_t i = kLengthBytes; i-- > 0;) {
    header_bytes = header_bytes << 8 | std::to_integer<uint64_t>(bytes[i]);
  }
  if (header_bytes > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("claims a header of ", header_bytes,
                                                   " bytes, the limit is ", kMaxHeaderBytes));
  }
  if (header_bytes > size - kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat("is truncated: the header claims ", header_bytes,
                                                   " bytes, the file has ", size - kLengthBytes,
                                                   " after its length"));
  }
  const size_t data_start = kLengthBytes + static_cast<size_t>(header_bytes);
  const std::span<const std::byte> data = bytes.subspan(data_start);
  const absl::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                                 static_cast<size_t>(header_bytes));

  HeaderReader reader;
  if (!nlohmann::json::sax_parse(header.begin(), header.end(), &reader)) {
    return absl::InvalidArgumentError(reader.problem());
  }
  std::vector<std::pair<const TensorView*, const std::string*>> in_file_order;
  for (const HeaderEntry& entry : reader.TakeEntries()) {
    TOME_ASSIGN_OR_RETURN(TensorView view, CheckedView(entry, data, data_start));
    const auto placed = file.tensors_.emplace(entry.name, std::move(view)).first;
    in_file_order.emplace_back(&placed->second, &placed->first);
  }

  // The tensors must lie end to end over all of the data: no overlap, no hole where something could
  // hide, nothing behind the last one.
  std::ranges::sort(in_file_order, [](const auto& a, const auto& b) {
    return std::pair(a.first->bytes.data(), a.first->bytes.size()) <
           std::pair(b.first->bytes.data(), b.first->bytes.size());
  });
  const std::byte* covered = data.data();
  for (const auto& [view, name] : in_file_order) {
    if (view->bytes.data() != covered) {
      return Problem(*name, absl::StrCat("starts at byte ", view->bytes.data() - data.data(),
                                         " of the tensors, where ", covered - data.data(),
                                         " bytes come before: ",
                                         view->bytes.data() < covered ? "an overlap" : "a hole"));
    }
    covered += view->bytes.size();
  }
  if (covered != data.data() + data.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", data.data() + data.size() - covered, " bytes behind the last tensor"));
  }
  return file;
}

const TensorView* SafetensorsFile::Find(absl::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  return found == tensors_.end() ? nullptr : &found->second;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors_) names.push_back(name);
  return names;
}

std::span<const std::byte> SafetensorsFile::file_bytes() const {
  return {static_cast<const std::byte*>(mapping_->start), mapping_->bytes};
}

}  // namespace tome
