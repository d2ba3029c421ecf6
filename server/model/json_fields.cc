#include "server/model/json_fields.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tome {
namespace {

// Real files nest three or four deep. A parsed document costs a multiple of its text, and showing
// it in an error recurses.
constexpr int kMaxJsonDepth = 64;

bool NestsDeeper(absl::string_view text, int limit) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > limit) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  constexpr size_t kMaxBytes = 16 << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError("cannot be opened");
  std::string text;
  std::array<char, 1 << 16> chunk;
  while (file.read(chunk.data(), chunk.size()) || file.gcount() > 0) {
    text.append(chunk.data(), static_cast<size_t>(file.gcount()));
    if (text.size() > kMaxBytes) {
      return absl::InvalidArgumentError(absl::StrCat("has more than ", kMaxBytes, " bytes"));
    }
  }
  return text;
}

absl::StatusOr<Json> ParseJsonObject(absl::string_view text) {
  if (NestsDeeper(text, kMaxJsonDepth)) {
    return absl::InvalidArgumentError(
        absl::StrCat("nests lists and objects more than ", kMaxJsonDepth, " deep"));
  }
  Json root = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return absl::InvalidArgumentError("is not valid JSON");
  if (!root.is_object()) return WrongField("the file", root, "a JSON object");
  return root;
}

const Json* FindField(const Json& object, absl::string_view key) {
  const auto found = object.find(std::string(key));
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string ShownValue(const Json& value) {
  constexpr size_t kLongest = 100;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = absl::StrCat(text.substr(0, kLongest), "...");
  return text;
}

absl::Status UnsupportedField(absl::string_view key, const Json& value,
                              absl::string_view supported) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": ", ShownValue(value), " is not supported; supported: ", supported));
}

absl::Status WrongField(absl::string_view key, const Json& value, absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": ", ShownValue(value), ", expected ", expected));
}

bool IsWithin(const Json& value, int lowest, int highest) {
  return value.is_number_integer() && value.get<int64_t>() >= lowest &&
         value.get<int64_t>() <= highest &&
         !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(highest));
}

absl::StatusOr<std::string> TextField(const Json& object, absl::string_view key,
                                      absl::string_view prefix, absl::string_view fallback) {
  const Json* value = FindField(object, key);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) return WrongField(absl::StrCat(prefix, key), *value, "a string");
  return value->get<std::string>();
}

absl::StatusOr<bool> BoolField(const Json& object, absl::string_view key, absl::string_view prefix,
                               bool fallback) {
  const Json* value = FindField(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return WrongField(absl::StrCat(prefix, key), *value, "true or false");
  return value->get<bool>();
}

absl::StatusOr<int> IntField(const Json& object, absl::string_view key, absl::string_view prefix,
                             int lowest, int highest, int fallback) {
  const Json* value = FindField(object, key);
  if (value == nullptr) return fallback;
  if (!IsWithin(*value, lowest, highest)) {
    return WrongField(absl::StrCat(prefix, key), *value, absl::StrCat(lowest, " to ", highest));
  }
  return value->get<int>();
}

absl::StatusOr<double> PositiveField(const Json& object, absl::string_view key,
                                     absl::string_view prefix, double fallback) {
  const Json* value = FindField(object, key);
  if (value == nullptr) return fallback;
  const bool valid =
      value->is_number() && std::isfinite(value->get<double>()) && value->get<double>() > 0.0;
  if (!valid) return WrongField(absl::StrCat(prefix, key), *value, "a number above 0");
  return value->get<double>();
}

absl::StatusOr<std::array<float, 3>> ChannelsField(const Json& object, absl::string_view key,
                                                   absl::string_view prefix,
                                                   const std::array<float, 3>& fallback,
                                                   bool positive) {
  const Json* value = FindField(object, key);
  if (value == nullptr) return fallback;
  const auto fits = [&](const Json& each) {
    return each.is_number() && std::isfinite(each.get<float>()) &&
           (!positive || each.get<float>() > 0.0f);
  };
  if (!value->is_array() || value->size() != 3 || !std::ranges::all_of(*value, fits)) {
    return WrongField(absl::StrCat(prefix, key), *value,
                      positive ? "3 numbers above 0, one a channel" : "3 numbers, one a channel");
  }
  return std::array<float, 3>{(*value)[0].get<float>(), (*value)[1].get<float>(),
                              (*value)[2].get<float>()};
}

absl::StatusOr<ImageSize> ToImageSize(const Json& value, absl::string_view key) {
  if (IsWithin(value, 1, kMaxImageSide)) return ImageSize{value.get<int>(), value.get<int>()};
  if (value.is_array() && value.size() == 2 && IsWithin(value[0], 1, kMaxImageSide) &&
      IsWithin(value[1], 1, kMaxImageSide)) {
    return ImageSize{value[0].get<int>(), value[1].get<int>()};
  }
  return WrongField(key, value,
                    absl::StrCat("a side or [height, width], each 1 to ", kMaxImageSide));
}

}  // namespace tome
