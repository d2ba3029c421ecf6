#ifndef TOME_CLIENT_CLI_PROGRESS_BAR_H_
#define TOME_CLIENT_CLI_PROGRESS_BAR_H_

#include <string>

#include "absl/time/time.h"

namespace tome::client {

// How far a run has got.
struct Progress {
  int total = 0;
  int embedded = 0;
  int failed = 0;
};

// "[#####-----]  512/1024  88.3 images/s  0:06 left  2 failed", at most `width` characters long.
std::string ProgressLine(const Progress& progress, absl::Duration elapsed, int width);

// Draws the line on standard error, over the one before, a few times a second; draws nothing where
// standard error is no terminal. Not thread-safe.
class ProgressBar {
 public:
  ProgressBar();
  // Takes the line away, so that what follows starts on a clean one.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Update(const Progress& progress);

 private:
  const bool terminal_;
  const absl::Time start_;
  absl::Time drawn_ = absl::InfinitePast();
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_PROGRESS_BAR_H_
