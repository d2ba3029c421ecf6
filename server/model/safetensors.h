#ifndef TOME_SERVER_MODEL_SAFETENSORS_H_
#define TOME_SERVER_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tome {

// The element types that the format names.
enum class TensorType {
  kBool,
  kUint8,
  kInt8,
  kInt16,
  kUint16,
  kFloat16,
  kBFloat16,
  kInt32,
  kUint32,
  kFloat32,
  kInt64,
  kUint64,
  kFloat64,
};

// "F32", "BF16": as the format spells it.
absl::string_view TensorTypeName(TensorType type);

// One tensor of a file: row-major, little-endian, aligned to its element.
struct TensorView {
  TensorType type = TensorType::kFloat32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // owned by the SafetensorsFile

  // The elements. REQUIRES: sizeof(T) is the type's size.
  template <typename T>
  std::span<const T> As() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// A safetensors file, mapped read-only. Everything the header claims is checked before a view is
// given out: sizes with overflow, bounds, alignment, that tensors neither overlap nor leave holes,
// and that no name comes twice. The file must not change while it is open. Immutable, thread-safe.
class SafetensorsFile {
 public:
  // NOT_FOUND if there is no such file, INVALID_ARGUMENT naming the tensor and what is wrong with
  // it. Messages name no path: the caller knows which file it is.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  // nullptr if the file has no such tensor. The view lives as long as the file.
  const TensorView* Find(absl::string_view name) const;

  // Sorted.
  std::vector<std::string> names() const;

  // The whole file, header included.
  std::span<const std::byte> file_bytes() const;

 private:
  struct Mapping;

  SafetensorsFile() = default;

  std::shared_ptr<const Mapping> mapping_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_SAFETENSORS_H_
