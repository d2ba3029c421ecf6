// The safetensors reader. Whatever the bytes are, the answer is INVALID_ARGUMENT with a text, or
// tensors of which every byte can be read.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "server/model/safetensors.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// A file in memory that the reader opens by its path.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    Require(descriptor_ >= 0);
    Require(write(descriptor_, data, size) == static_cast<ssize_t>(size));
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  const int descriptor_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile written(data, size);
  const absl::StatusOr<tome::SafetensorsFile> file = tome::SafetensorsFile::Open(written.path());
  if (!file.ok()) {
    Require(absl::IsInvalidArgument(file.status()) && !file.status().message().empty());
    return 0;
  }
  unsigned sum = 0;
  for (const std::string& name : file->names()) {
    const tome::TensorView* tensor = file->Find(name);
    Require(tensor != nullptr);
    for (const std::byte byte : tensor->bytes) sum += std::to_integer<unsigned>(byte);
  }
  // Used, so that the reads above stay.
  Require(sum <= 255 * size);
  return 0;
}
