#ifndef TOME_SERVER_CONFIG_OPTIONS_H_
#define TOME_SERVER_CONFIG_OPTIONS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/config/server_config.h"

namespace tome {

// One option of the server. Its name gives the flag, the environment variable and the key of the
// --config file; its default is the one of a ServerConfig{}.
struct Option {
  std::string name;   // "max-batch-images"
  std::string group;  // heading in --help
  std::string value;  // what stands for the value in --help, such as "N"
  std::string help;
  bool repeatable = false;  // several values, each of which `set` adds

  // Checks the text of a value and stores it. The status tells the value and what is allowed.
  std::function<absl::Status(absl::string_view, ServerConfig&)> set;
  // The text that `set` would store; empty if there is no value.
  std::function<std::string(const ServerConfig&)> show;
};

// In the order of --help.
const std::vector<Option>& Options();

// The key of a [model.NAME] section.
struct ModelOption {
  std::string name;
  std::function<absl::Status(absl::string_view, ModelConfig&)> set;
  std::function<std::string(const ModelConfig&)> show;
};

const std::vector<ModelOption>& ModelOptions();

std::string FlagOf(absl::string_view option);         // "--max-batch-images"
std::string EnvironmentOf(absl::string_view option);  // "TOME_MAX_BATCH_IMAGES"

// "; did you mean X?" with the name most like `unknown`, or nothing if none is like it.
std::string Suggestion(absl::string_view unknown, const std::vector<std::string>& names);

}  // namespace tome

#endif  // TOME_SERVER_CONFIG_OPTIONS_H_
