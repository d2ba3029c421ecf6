// The shim's devices where no test can call it, inside of tome-server: as the environment says.
//   CUDA_SHIM_DEVICES  how many there are
//   CUDA_SHIM_LOST     a folder: a device is lost once a file in it has the device's number

#include <cuda_shim.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace cuda_shim {
namespace {

[[maybe_unused]] const bool controlled = [] {
  if (const char* devices = std::getenv("CUDA_SHIM_DEVICES")) {
    SetDevice({.count = std::atoi(devices)});
  }
  if (const char* lost = std::getenv("CUDA_SHIM_LOST")) {
    FailCallsOf([folder = std::filesystem::path(lost)](int device) {
      std::error_code error;
      return std::filesystem::exists(folder / std::to_string(device), error)
                 ? cudaErrorLaunchFailure
                 : cudaSuccess;
    });
  }
  return true;
}();

}  // namespace
}  // namespace cuda_shim
