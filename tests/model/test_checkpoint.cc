#include "tests/model/test_checkpoint.h"

#include <bit>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tome {
namespace {

constexpr int64_t kDim = 32;
constexpr int64_t kHidden = 64;
constexpr int64_t kPatch = 4;
constexpr int64_t kTokens = 17;
constexpr int kBlocks = 2;

constexpr char kConfig[] = R"({
  "architecture": "vit_tiny_patch16_224",
  "num_classes": 0,
  "num_features": 32,
  "global_pool": "token",
  "model_args": {"img_size": [16, 16], "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2},
  "pretrained_cfg": {
    "tag": "augreg_in21k_ft_in1k", "input_size": [3, 16, 16], "interpolation": "bicubic",
    "crop_pct": 0.9, "crop_mode": "center", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]
  }
})";

// Little-endian. Neither short form rounds: it keeps the bits that an exact value needs.
void AppendElement(float value, const std::string& dtype, std::string* data) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto append = [&](uint32_t element, int bytes) {
    for (int i = 0; i < bytes; ++i) data->push_back(static_cast<char>(element >> (8 * i)));
  };
  if (dtype == "F32") {
    append(bits, 4);
  } else if (dtype == "BF16") {
    append(bits >> 16, 2);
  } else if (value == 0.0f) {
    append(bits >> 16, 2);
  } else {
    // Exponent bias 15 instead of 127, 10 bits of fraction instead of 23.
    append((bits >> 16 & 0x8000) | ((bits >> 13 & 0x3ffff) - (112 << 10)), 2);
  }
}

}  // namespace

std::string SafetensorsBytes(absl::string_view header, absl::string_view data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(header.size() >> (8 * i)));
  absl::StrAppend(&bytes, header, data);
  return bytes;
}

TestCheckpoint::TestCheckpoint() : config(kConfig) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 0.3f);
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t dimension : shape) count *= dimension;
    TestTensor& tensor = tensors[name];
    tensor.shape = shape;
    for (int64_t i = 0; i < count; ++i) tensor.values.push_back(normal(random));
  };
  const auto add_layer = [&](const std::string& name, const std::vector<int64_t>& weight_shape) {
    add(name + ".weight", weight_shape);
    add(name + ".bias", {weight_shape[0]});
  };
  add_layer("patch_embed.proj", {kDim, 3, kPatch, kPatch});
  add("cls_token", {1, 1, kDim});
  add("pos_embed", {1, kTokens, kDim});
  for (int i = 0; i < kBlocks; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    add_layer(block + "norm1", {kDim});
    add_layer(block + "attn.qkv", {3 * kDim, kDim});
    add_layer(block + "attn.proj", {kDim, kDim});
    add_layer(block + "norm2", {kDim});
    add_layer(block + "mlp.fc1", {kHidden, kDim});
    add_layer(block + "mlp.fc2", {kDim, kHidden});
  }
  add_layer("norm", {kDim});
}

void TestCheckpoint::Write(const TemporaryDirectory& directory) const {
  std::string header = "{";
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    for (const float value : tensor.values) AppendElement(value, stored_dtype, &data);
    absl::StrAppend(&header, header.size() == 1 ? "" : ",", "\"", name, "\":{\"dtype\":\"",
                    stored_dtype, "\",\"shape\":[", absl::StrJoin(tensor.shape, ","),
                    "],\"data_offsets\":[", begin, ",", data.size(), "]}");
  }
  absl::StrAppend(&header, "}");
  while (header.size() % 8 != 0) header.push_back(' ');
  directory.Write("model.safetensors", SafetensorsBytes(header, data));
  directory.Write("config.json", config);
}

}  // namespace tome
