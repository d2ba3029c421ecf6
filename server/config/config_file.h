#ifndef TOME_SERVER_CONFIG_CONFIG_FILE_H_
#define TOME_SERVER_CONFIG_CONFIG_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The syntax of the --config file, which is TOML as far as the options need it: comments,
// [section] headers, and key = value with a whole number, a "string" or a list of strings.
// What the keys mean is server_config.cc's.

namespace tome {

struct FileSetting {
  std::string key;
  std::vector<std::string> values;  // one, unless written as a list
  int line = 0;                     // from 1
};

struct FileSection {
  std::vector<std::string> name;  // {"model", "vit-s16"} of [model.vit-s16]; empty at the top
  int line = 0;
  std::vector<FileSetting> settings;
};

// The sections in order, the one before any header first. INVALID_ARGUMENT "NAME:LINE: what is
// wrong" if the text is none of the above or says a key or section twice.
//   name  of the file, for errors
absl::StatusOr<std::vector<FileSection>> ParseConfigFile(absl::string_view text,
                                                         absl::string_view name);

// `value` in double quotes, as ParseConfigFile reads it back.
std::string QuoteForConfigFile(absl::string_view value);

}  // namespace tome

#endif  // TOME_SERVER_CONFIG_CONFIG_FILE_H_
