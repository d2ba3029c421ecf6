#ifndef TOME_SERVER_CONFIG_FLAGS_H_
#define TOME_SERVER_CONFIG_FLAGS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tome {

// What the command line says, unchecked.
struct Flags {
  std::map<std::string, std::vector<std::string>> values;  // by the option's name; "config", too
  bool help = false;
  bool version = false;
  bool check_config = false;
};

// INVALID_ARGUMENT with one line if an argument is no flag of the server's or lacks its value.
absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& arguments);

// What --help prints.
std::string HelpText();

}  // namespace tome

#endif  // TOME_SERVER_CONFIG_FLAGS_H_
