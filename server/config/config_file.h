#ifndef TOME_SERVER_CONFIG_CONFIG_FILE_H_
#define TOME_SERVER_CONFIG_CONFIG_FILE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The --config file: TOML with keys and [model.NAME] sections. What the keys mean is
// server_config.cc's.

namespace tome {

// What one source says of an option.
struct Given {
  std::vector<std::string> values;  // of the file: one, unless written as a list
  std::string source;  // "flag --listen", "environment TOME_LISTEN", "tome.toml:12", "default"
};

// What a [model.NAME] section says.
struct ModelSection {
  std::string name;
  std::string source;
  std::map<std::string, Given> keys;
};

// Names and keys are escaped as in C, so that none breaks a line.
struct ConfigFile {
  std::map<std::string, Given> keys;  // outside the sections
  std::vector<ModelSection> models;   // in the file's order
};

// INVALID_ARGUMENT with one line that begins with "NAME:LINE" or "KEY (NAME:LINE)" if the text is
// not TOML, has another section, or a value that is neither text nor a whole number nor a list of
// them.
//   name  of the file, for sources and errors
absl::StatusOr<ConfigFile> ParseConfigFile(absl::string_view text, absl::string_view name);

// `value` in double quotes, as ParseConfigFile reads it back if it is UTF-8.
std::string QuoteForConfigFile(absl::string_view value);

}  // namespace tome

#endif  // TOME_SERVER_CONFIG_CONFIG_FILE_H_
