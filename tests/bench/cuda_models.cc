#include "tests/bench/cuda_models.h"

#include "server/merge/flops.h"
#include "server/merge/merge_plan.h"

namespace tome::bench {
namespace {

NamedModel PlainVit(const std::string& name, int side, int patch, int blocks, int width,
                    int heads) {
  cuda::Model model;
  model.image_height = side;
  model.image_width = side;
  model.patch_size = patch;
  model.grid_height = side / patch;
  model.grid_width = side / patch;
  model.prefix_tokens = 1;
  model.token_dim = width;
  model.mlp_hidden_dim = 4 * width;
  model.heads = heads;
  model.blocks = blocks;
  model.norm_epsilon = 1e-6f;
  for (int channel = 0; channel < 3; ++channel) {
    model.pixel_scale[channel] = 1.0f / 127.5f;
    model.pixel_shift[channel] = -1.0f;
  }
  return {.name = name, .model = model};
}

// Weyl's sequence, mixed: fast, and uniform enough in [-1, 1).
struct Random {
  explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 1) {}
  float Next() {
    state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed ^= mixed >> 27;
    return static_cast<float>(static_cast<int32_t>(mixed >> 32)) * 0x1p-31f;
  }
  uint64_t state;
};

bool ReadRandom(void*, cuda::Part part, int32_t block, float* weight, size_t weight_count,
                float* bias, size_t bias_count) {
  Random random(static_cast<uint64_t>(part) * 1000 + static_cast<uint64_t>(block));
  const bool is_norm =
      part == cuda::Part::kNorm1 || part == cuda::Part::kNorm2 || part == cuda::Part::kFinalNorm;
  const float center = is_norm ? 1.0f : 0.0f;
  for (size_t i = 0; i < weight_count; ++i) weight[i] = center + 0.035f * random.Next();
  for (size_t i = 0; i < bias_count; ++i) bias[i] = 0.035f * random.Next();
  return true;
}

}  // namespace

std::vector<NamedModel> BenchModels() {
  return {PlainVit("B/16@224", 224, 16, 12, 768, 12), PlainVit("L/16@224", 224, 16, 24, 1024, 16),
          PlainVit("H/14@224", 224, 14, 32, 1280, 16), PlainVit("L/14@336", 336, 14, 24, 1024, 16)};
}

cuda::WeightSource RandomWeights() { return {.context = nullptr, .read = ReadRandom}; }

int MostR(const cuda::Model& model) {
  return (model.tokens() - model.prefix_tokens + model.blocks - 1) / model.blocks;
}

std::vector<int> MergedPerBlock(const cuda::Model& model, int r) {
  const MergePlan::Image image{.tokens = model.tokens(),
                               .merges_per_block = std::vector<int>(model.blocks, r)};
  return MergePlan({&image, 1}, model.blocks, model.prefix_tokens).MergedPerBlock(0);
}

double Flops(const cuda::Model& model, int r) {
  return BlockFlops({.token_dim = model.token_dim, .mlp_hidden_dim = model.mlp_hidden_dim},
                    model.tokens(), MergedPerBlock(model, r));
}

BenchBatch::BenchBatch(const cuda::Model& model, std::span<const int> r_of_image) {
  std::vector<MergePlan::Image> planned;
  Random random(r_of_image.size());
  for (const int r : r_of_image) {
    planned.push_back(
        {.tokens = model.tokens(), .merges_per_block = std::vector<int>(model.blocks, r)});
    std::vector<uint8_t>& image =
        pixels_.emplace_back(size_t{3} * model.image_height * model.image_width);
    for (uint8_t& pixel : image) pixel = static_cast<uint8_t>(127.5f + 127.5f * random.Next());
    embeddings_.emplace_back(model.token_dim);
  }
  const MergePlan plan(planned, model.blocks, model.prefix_tokens);
  for (int block = 0; block <= model.blocks; ++block) {
    segments_.insert(segments_.end(), plan.at(block).begin(), plan.at(block).end());
  }
  pooling_.assign(r_of_image.size(), cuda::Pooling::kClassToken);
  for (size_t i = 0; i < r_of_image.size(); ++i) {
    pixel_pointers_.push_back(pixels_[i].data());
    embedding_pointers_.push_back(embeddings_[i].data());
  }
  batch_ = {.images = static_cast<int32_t>(r_of_image.size()),
            .segments = segments_.data(),
            .pixels = pixel_pointers_.data(),
            .pooling = pooling_.data()};
  results_.embeddings = embedding_pointers_.data();
}

}  // namespace tome::bench
