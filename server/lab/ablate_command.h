#ifndef TOME_SERVER_LAB_ABLATE_COMMAND_H_
#define TOME_SERVER_LAB_ABLATE_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tome {

// `tome-lab ablate`, as its options say.
struct AblateCommand {
  std::string checkpoint;  // directory
  std::string images;      // folder, whose subfolders are labels
  std::vector<int> r;
  std::string out;    // CSV file; empty: none
  int64_t limit = 0;  // pictures, drawn from all of them; 0: all
  int64_t batch = 8;  // pictures a pass
  int64_t seed = 1;
  int threads = 1;
};

// Compares every variant of merging on the pictures and prints a table for each r; with `out` the
// same numbers go there, a row each. But for the times, one seed prints the same again. Progress
// goes to standard error.
absl::Status RunAblate(const AblateCommand& command);

}  // namespace tome

#endif  // TOME_SERVER_LAB_ABLATE_COMMAND_H_
