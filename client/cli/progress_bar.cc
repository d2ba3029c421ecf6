#include "client/cli/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace tome::client {
namespace {

constexpr int kBarCells = 24;

std::string MinutesAndSeconds(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
  if (seconds < 3600) return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

int TerminalWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string ProgressLine(const Progress& progress, absl::Duration elapsed, int width) {
  const int done = progress.embedded + progress.failed;
  const int filled = progress.total == 0
                         ? kBarCells
                         : static_cast<int>(int64_t{kBarCells} * done / progress.total);
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  std::string line =
      absl::StrCat("[", std::string(filled, '#'), std::string(kBarCells - filled, '-'), "]  ", done,
                   "/", progress.total, absl::StrFormat("  %.1f images/s", done / seconds));
  if (done > 0) {
    const double left = seconds / done * (progress.total - done);
    absl::StrAppend(&line, "  ", MinutesAndSeconds(absl::Seconds(left)), " left");
  }
  if (progress.failed > 0) absl::StrAppend(&line, "  ", progress.failed, " failed");
  if (line.size() > static_cast<size_t>(width)) line.resize(width);
  return line;
}

ProgressBar::ProgressBar() : terminal_(isatty(STDERR_FILENO) == 1), start_(absl::Now()) {}

ProgressBar::~ProgressBar() {
  if (drawn_ != absl::InfinitePast()) std::cerr << "\r\033[K" << std::flush;
}

void ProgressBar::Update(const Progress& progress) {
  const absl::Time now = absl::Now();
  if (!terminal_ || now - drawn_ < absl::Milliseconds(100)) return;
  drawn_ = now;
  // One short of the full width: the last column makes some terminals start a new line.
  std::cerr << "\r" << ProgressLine(progress, now - start_, TerminalWidth() - 1) << "\033[K"
            << std::flush;
}

}  // namespace tome::client
