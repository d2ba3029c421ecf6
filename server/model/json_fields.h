#ifndef TOME_SERVER_MODEL_JSON_FIELDS_H_
#define TOME_SERVER_MODEL_JSON_FIELDS_H_

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

#include "server/model/vit_config.h"

namespace tome {

// How a checkpoint's JSON files are read: what is there must be right, and whoever is told that it
// is not hears the key, the value and what was expected.

using Json = nlohmann::json;

// Far above any model's input; keeps what follows from it inside an int.
inline constexpr int kMaxImageSide = 1 << 14;
inline constexpr int kMaxHeads = 1024;

// A whole file. NOT_FOUND if it cannot be opened; INVALID_ARGUMENT beyond 16 MB: class names of the
// largest label sets make a few.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// INVALID_ARGUMENT for what is no JSON or no object, or nests more than 64 deep.
absl::StatusOr<Json> ParseJsonObject(absl::string_view text);

// The value at `key`, or nullptr if it is absent or null, which writers use for "not set".
const Json* FindField(const Json& object, absl::string_view key);

// A value as an error shows it: printable and short.
std::string ShownValue(const Json& value);
absl::Status UnsupportedField(absl::string_view key, const Json& value,
                              absl::string_view supported);
absl::Status WrongField(absl::string_view key, const Json& value, absl::string_view expected);

bool IsWithin(const Json& value, int lowest, int highest);

// The readers below name the field "<prefix><key>" and give `fallback` where it is not set.
absl::StatusOr<std::string> TextField(const Json& object, absl::string_view key,
                                      absl::string_view prefix, absl::string_view fallback);
absl::StatusOr<bool> BoolField(const Json& object, absl::string_view key, absl::string_view prefix,
                               bool fallback);
absl::StatusOr<int> IntField(const Json& object, absl::string_view key, absl::string_view prefix,
                             int lowest, int highest, int fallback);
// Finite and above 0.
absl::StatusOr<double> PositiveField(const Json& object, absl::string_view key,
                                     absl::string_view prefix, double fallback);
// Three finite numbers, one a channel; above 0 if `positive`.
absl::StatusOr<std::array<float, 3>> ChannelsField(const Json& object, absl::string_view key,
                                                   absl::string_view prefix,
                                                   const std::array<float, 3>& fallback,
                                                   bool positive);

// A side in pixels or [height, width].
absl::StatusOr<ImageSize> ToImageSize(const Json& value, absl::string_view key);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_JSON_FIELDS_H_
