#include "server/lab/safetensors_writer.h"

#include <algorithm>
#include <cstdint>

#include <nlohmann/json.hpp>

namespace tome {
namespace {

c10::ScalarType ScalarTypeOf(StoredFloat stored) {
  switch (stored) {
    case StoredFloat::kFloat16:
      return c10::ScalarType::Half;
    case StoredFloat::kBFloat16:
      return c10::ScalarType::BFloat16;
    case StoredFloat::kFloat32:
      break;
  }
  return c10::ScalarType::Float;
}

TensorType TensorTypeOf(StoredFloat stored) {
  switch (stored) {
    case StoredFloat::kFloat16:
      return TensorType::kFloat16;
    case StoredFloat::kBFloat16:
      return TensorType::kBFloat16;
    case StoredFloat::kFloat32:
      break;
  }
  return TensorType::kFloat32;
}

}  // namespace

void SafetensorsWriter::Add(const std::string& name, const TensorView& tensor) {
  entries_.push_back({.name = name,
                      .type = tensor.type,
                      .shape = tensor.shape,
                      .bytes = std::string(reinterpret_cast<const char*>(tensor.bytes.data()),
                                           tensor.bytes.size())});
}

void SafetensorsWriter::Add(const std::string& name, const at::Tensor& tensor, StoredFloat stored) {
  const at::Tensor rows = tensor.detach().cpu().to(ScalarTypeOf(stored)).contiguous();
  entries_.push_back(
      {.name = name,
       .type = TensorTypeOf(stored),
       .shape = rows.sizes().vec(),
       .bytes = std::string(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes())});
}

std::string SafetensorsWriter::Bytes() const {
  // Wide elements first keeps every tensor aligned to its own.
  std::vector<const Entry*> order;
  for (const Entry& entry : entries_) order.push_back(&entry);
  const auto element_bytes = [](const Entry* entry) {
    int64_t count = 1;
    for (const int64_t dimension : entry->shape) count *= dimension;
    return count == 0 ? 0 : static_cast<int64_t>(entry->bytes.size()) / count;
  };
  std::ranges::stable_sort(order, std::greater<>(), element_bytes);

  // transformers refuses a file that does not say which library its tensors are for.
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const Entry* entry : order) {
    const size_t begin = data.size();
    data += entry->bytes;
    header[entry->name] = {{"dtype", std::string(TensorTypeName(entry->type))},
                           {"shape", entry->shape},
                           {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(text.size() >> (8 * i)));
  return bytes + text + data;
}

}  // namespace tome
