#ifndef TOME_TESTS_MODEL_TEST_CHECKPOINT_H_
#define TOME_TESTS_MODEL_TEST_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "tests/testing/temporary_directory.h"

namespace tome {

// The bytes of a safetensors file: length, header and data as given, right or wrong.
std::string SafetensorsBytes(absl::string_view header, absl::string_view data);

// A float32 tensor.
struct TestTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// A small ViT to take apart: 16 x 16 pixels in patches of 4, a class token, 2 heads, 2 blocks of 32
// dimensions, seeded values. Tests change what they are about, then write it.
struct TestCheckpoint {
  TestCheckpoint();

  // A timm directory.
  void Write(const TemporaryDirectory& directory) const;

  std::string config;
  std::string stored_dtype = "F32";  // or "BF16", "F16"; values must be exact in it
  std::map<std::string, TestTensor> tensors;
};

}  // namespace tome

#endif  // TOME_TESTS_MODEL_TEST_CHECKPOINT_H_
