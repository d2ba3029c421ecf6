#ifndef TOME_SERVER_LAB_SAFETENSORS_WRITER_H_
#define TOME_SERVER_LAB_SAFETENSORS_WRITER_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "server/model/safetensors.h"

namespace tome {

// The type that floating-point tensors are written in.
enum class StoredFloat { kFloat32, kFloat16, kBFloat16 };

// Gathers tensors and lays them out as one safetensors file, in the order they came. Copies.
class SafetensorsWriter {
 public:
  // REQUIRES: no tensor of that name yet.
  void Add(const std::string& name, const TensorView& tensor);
  // A floating-point tensor, rounded to `stored`; of any device.
  void Add(const std::string& name, const at::Tensor& tensor,
           StoredFloat stored = StoredFloat::kFloat32);

  std::string Bytes() const;

 private:
  struct Entry {
    std::string name;
    TensorType type;
    std::vector<int64_t> shape;
    std::string bytes;
  };

  std::vector<Entry> entries_;
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_SAFETENSORS_WRITER_H_
