#include "server/lab/new_checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/lab/atomic_file.h"
#include "server/lab/safetensors_writer.h"

namespace tome {
namespace {

// How far the products of attention's weights are drawn to the identity, and how much noise they
// keep: the paper's values.
constexpr double kQueryKeyIdentity = 0.7;
constexpr double kQueryKeyNoise = 0.7;
constexpr double kValueIdentity = -0.4;
constexpr double kValueNoise = 0.4;
constexpr double kMlpDeviation = 0.02;

// [D, D] noise and the identity, factored: left [D, rank], right [rank, D].
std::pair<at::Tensor, at::Tensor> NearIdentity(int64_t dim, int64_t rank, double identity,
                                               double noise, const at::Generator& random) {
  const at::Tensor product = identity * at::eye(dim) + noise / std::sqrt(static_cast<double>(dim)) *
                                                           at::randn({dim, dim}, random);
  const auto [u, s, v] = at::linalg_svd(product, /*full_matrices=*/false);
  const at::Tensor root = s.narrow(0, 0, rank).sqrt();
  return {u.narrow(1, 0, rank) * root, root.unsqueeze(1) * v.narrow(0, 0, rank)};
}

// [grid * grid, D]: sines and cosines of column and row at D / 4 wavelengths.
at::Tensor SinePositions(int64_t grid, int64_t dim) {
  const at::Tensor frequency = at::pow(10000.0, at::arange(dim / 4) * (-4.0 / dim));
  const at::Tensor angles = at::outer(at::arange(grid), frequency);  // [grid, D / 4]
  const at::Tensor along_rows = angles.unsqueeze(0).expand({grid, grid, dim / 4});
  const at::Tensor along_columns = angles.unsqueeze(1).expand({grid, grid, dim / 4});
  return at::cat({along_rows.sin(), along_rows.cos(), along_columns.sin(), along_columns.cos()}, 2)
      .reshape({grid * grid, dim});
}

void AddBlock(const NewVit& vit, int index, const at::Generator& random,
              SafetensorsWriter& writer) {
  const int64_t dim = vit.width;
  const int64_t hidden = dim * vit.mlp_ratio;
  const std::string block = absl::StrCat("blocks.", index, ".");
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    writer.Add(block + name, tensor);
  };
  std::vector<at::Tensor> queries;
  std::vector<at::Tensor> keys;
  for (int head = 0; head < vit.heads; ++head) {
    const auto [query, key] =
        NearIdentity(dim, dim / vit.heads, kQueryKeyIdentity, kQueryKeyNoise, random);
    queries.push_back(query.t());
    keys.push_back(key);
  }
  const auto [projection, value] = NearIdentity(dim, dim, kValueIdentity, kValueNoise, random);
  add("norm1.weight", at::ones({dim}));
  add("norm1.bias", at::zeros({dim}));
  add("attn.qkv.weight", at::cat({at::cat(queries), at::cat(keys), value}));
  add("attn.qkv.bias", at::zeros({3 * dim}));
  add("attn.proj.weight", projection);
  add("attn.proj.bias", at::zeros({dim}));
  add("norm2.weight", at::ones({dim}));
  add("norm2.bias", at::zeros({dim}));
  add("mlp.fc1.weight", kMlpDeviation * at::randn({hidden, dim}, random));
  add("mlp.fc1.bias", at::zeros({hidden}));
  add("mlp.fc2.weight", kMlpDeviation * at::randn({dim, hidden}, random));
  add("mlp.fc2.bias", at::zeros({dim}));
}

std::string Config(const NewVit& vit) {
  const nlohmann::ordered_json config = {
      // timm builds any ViT from this name and the arguments below.
      {"architecture", "vit_tiny_patch16_224"},
      {"num_classes", 0},
      {"num_features", vit.width},
      {"global_pool", "avg"},
      {"model_args",
       {{"img_size", vit.image_size},
        {"patch_size", vit.patch_size},
        {"embed_dim", vit.width},
        {"depth", vit.depth},
        {"num_heads", vit.heads},
        {"mlp_ratio", vit.mlp_ratio},
        {"class_token", false},
        {"global_pool", "avg"}}},
      {"pretrained_cfg",
       {{"input_size", {3, vit.image_size, vit.image_size}},
        {"fixed_input_size", true},
        {"interpolation", "bicubic"},
        {"crop_pct", 1.0},
        {"crop_mode", vit.crop_mode},
        {"mean", {0.5, 0.5, 0.5}},
        {"std", {0.5, 0.5, 0.5}},
        {"num_classes", 0},
        {"pool_size", nullptr},
        {"first_conv", "patch_embed.proj"},
        {"classifier", "head"}}}};
  return config.dump(2) + "\n";
}

}  // namespace

absl::Status CheckNewVit(const NewVit& vit) {
  if (vit.width % 4 != 0 || vit.width % vit.heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--width: ", vit.width, " is not a multiple of 4 and of --heads ", vit.heads));
  }
  if (vit.image_size % vit.patch_size != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--image-size: ", vit.image_size, " is not a multiple of --patch-size ", vit.patch_size));
  }
  return absl::OkStatus();
}

absl::Status WriteNewCheckpoint(const NewVit& vit, const std::string& directory) {
  const at::Generator random = at::detail::createCPUGenerator(vit.seed);
  const int64_t dim = vit.width;
  const int64_t patch_values = int64_t{3} * vit.patch_size * vit.patch_size;
  SafetensorsWriter writer;
  writer.Add("patch_embed.proj.weight",
             (at::randn({dim, patch_values}, random) / std::sqrt(static_cast<double>(patch_values)))
                 .view({dim, 3, vit.patch_size, vit.patch_size}));
  writer.Add("patch_embed.proj.bias", at::zeros({dim}));
  writer.Add("pos_embed", SinePositions(vit.image_size / vit.patch_size, dim).unsqueeze(0));
  for (int i = 0; i < vit.depth; ++i) AddBlock(vit, i, random, writer);
  writer.Add("fc_norm.weight", at::ones({dim}));
  writer.Add("fc_norm.bias", at::zeros({dim}));
  TOME_RETURN_IF_ERROR(MakeDirectories(directory));
  TOME_RETURN_IF_ERROR(WriteFileAtOnce(directory + "/model.safetensors", writer.Bytes()));
  return WriteFileAtOnce(directory + "/config.json", Config(vit));
}

}  // namespace tome
