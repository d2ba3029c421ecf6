#include "server/base/available_cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tome {
namespace {

int AffinityCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  // Fails on machines with more cores than the set can hold: then nothing is known to be forbidden.
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return std::numeric_limits<int>::max();
  return CPU_COUNT(&cores);
}

// "QUOTA PERIOD" in microseconds; "max PERIOD", or no file at all, is no quota.
double QuotaCores(const std::string& file) {
  std::ifstream in(file);
  double quota = 0.0;
  double period = 0.0;
  if (!(in >> quota >> period) || period <= 0.0) return std::numeric_limits<double>::infinity();
  return quota / period;
}

// The group's path below the root: the line "0::PATH".
std::string GroupOf(const std::string& membership_file) {
  std::ifstream in(membership_file);
  for (std::string line; std::getline(in, line);) {
    if (absl::StartsWith(line, "0::")) return line.substr(3);
  }
  return "/";
}

}  // namespace

int AvailableCores(const CgroupFiles& files) {
  double cores = AffinityCores();
  for (std::string group = GroupOf(files.membership);;) {
    cores = std::min(cores, QuotaCores(absl::StrCat(files.root, group, "/cpu.max")));
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos || group == "/") break;
    group.resize(std::max<size_t>(slash, 1));
  }
  return std::max(1, static_cast<int>(cores));
}

}  // namespace tome
