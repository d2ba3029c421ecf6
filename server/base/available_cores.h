#ifndef TOME_SERVER_BASE_AVAILABLE_CORES_H_
#define TOME_SERVER_BASE_AVAILABLE_CORES_H_

#include <string>

namespace tome {

// Where Linux tells about control groups. Tests bring their own.
struct CgroupFiles {
  std::string membership = "/proc/self/cgroup";
  std::string root = "/sys/fs/cgroup";
};

// The cores that this process can keep busy, at least 1: those of its affinity mask, and no more
// than the cgroup v2 cpu.max quotas of its group and the groups above allow. A fraction is rounded
// down: a thread too many is throttled together with all others.
int AvailableCores(const CgroupFiles& files = {});

}  // namespace tome

#endif  // TOME_SERVER_BASE_AVAILABLE_CORES_H_
