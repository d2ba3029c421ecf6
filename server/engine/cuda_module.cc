#include "server/engine/cuda_module.h"

#include <dlfcn.h>

#include <filesystem>
#include <numeric>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/base/status.h"

namespace tome {
namespace {

constexpr char kModuleName[] = "libtome_cuda.so";
constexpr char kEntry[] = "tome_cuda_module";

}  // namespace

std::string CudaModuleBesideProgram() {
  std::error_code ignored;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return (program.parent_path() / kModuleName).string();
}

absl::StatusOr<const cuda::Table*> OpenCudaModule(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the CUDA engine cannot be opened: ", dlerror()));
  }
  auto* const entry = reinterpret_cast<TomeCudaModuleFunction*>(dlsym(library, kEntry));
  const cuda::Table* table = entry != nullptr ? entry(cuda::kModuleVersion) : nullptr;
  if (table == nullptr) {
    dlclose(library);
    return absl::FailedPreconditionError(
        absl::StrCat("the CUDA engine ", path, " is of another version than this server"));
  }
  return table;
}

absl::StatusOr<std::vector<int>> CudaDevices(const cuda::Table& module, const std::string& device) {
  cuda::Message message;
  int32_t count = 0;
  TOME_RETURN_IF_ERROR(ToStatus(module.device_count(&count, &message), message));
  if (count == 0) return absl::FailedPreconditionError("this machine has no GPU that CUDA can use");
  if (device == "cuda:all") {
    std::vector<int> all(count);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  int number = 0;
  const absl::string_view suffix = absl::string_view(device).substr(sizeof("cuda") - 1);
  if (!suffix.empty()) static_cast<void>(absl::SimpleAtoi(suffix.substr(1), &number));
  if (number >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no GPU ", number, ": CUDA sees ", count, ", numbered from 0"));
  }
  return std::vector<int>{number};
}

absl::Status ToStatus(cuda::Code code, const cuda::Message& message) {
  switch (code) {
    case cuda::Code::kOk:
      return absl::OkStatus();
    case cuda::Code::kInvalidArgument:
      return absl::InvalidArgumentError(message.text);
    case cuda::Code::kOutOfMemory:
      return absl::FailedPreconditionError(message.text);
    case cuda::Code::kFailed:
      return absl::InternalError(message.text);
    case cuda::Code::kDeviceLost:
      return absl::UnavailableError(message.text);
  }
  return absl::InternalError("the CUDA engine gave an unknown answer");
}

}  // namespace tome
