#include "tests/cuda/test_model.h"

#include <cmath>
#include <random>

#include "tests/cuda/test_table.h"

namespace tome::cuda {
namespace {

// Named by part and block, so that a value does not depend on the order of the calls.
bool ReadSeeded(void*, Part part, int32_t block, float* weight, size_t weight_count, float* bias,
                size_t bias_count) {
  std::mt19937 random(static_cast<uint32_t>(part) * 1000 + static_cast<uint32_t>(block));
  const bool is_norm = part == Part::kNormBeforeBlocks || part == Part::kNorm1 ||
                       part == Part::kNorm2 || part == Part::kFinalNorm || part == Part::kPoolNorm;
  std::normal_distribution<float> values(is_norm ? 1.0f : 0.0f, 0.1f);
  for (size_t i = 0; i < weight_count; ++i) weight[i] = values(random);
  std::normal_distribution<float> biases(0.0f, 0.1f);
  for (size_t i = 0; i < bias_count; ++i) bias[i] = biases(random);
  return true;
}

std::vector<uint8_t> Pixels(const Model& model, int seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<uint8_t> pixels(size_t{3} * model.image_height * model.image_width);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random() % 256);
  return pixels;
}

}  // namespace

TestModel::TestModel() {
  model.image_height = 24;
  model.image_width = 24;
  model.patch_size = 4;
  model.grid_height = 6;
  model.grid_width = 6;
  model.prefix_tokens = 1;
  model.token_dim = 64;
  model.mlp_hidden_dim = 96;
  model.heads = 2;
  model.blocks = 3;
  model.norm_epsilon = 1e-6f;
  for (int channel = 0; channel < 3; ++channel) {
    model.pixel_scale[channel] = 1.0f / 127.5f;
    model.pixel_shift[channel] = -1.0f;
  }
}

WeightSource TestModel::source() const { return {.context = nullptr, .read = ReadSeeded}; }

TestSession::TestSession(const TestModel& model, const Options& options)
    : table_(TestTable()), model_(model.model) {
  const WeightSource source = model.source();
  Message message;
  code_ = table_.load(&model.model, &source, &options, &session_, &message);
  message_ = message.text;
}

TestSession::~TestSession() {
  if (session_ != nullptr) table_.unload(session_);
}

TestResults TestSession::Run(const std::vector<TestImage>& images, TestWants wants) const {
  std::vector<MergePlan::Image> planned;
  for (const TestImage& image : images) {
    planned.push_back({.tokens = model_.tokens(), .merges_per_block = image.merges_per_block});
  }
  const MergePlan plan(planned, model_.blocks, model_.prefix_tokens);
  return RunPlan(images, wants, plan, plan.at(0).data());
}

TestResults TestSession::RunAt(int offset) const {
  const TestImage image;
  const MergePlan::Image planned{.tokens = model_.tokens(),
                                 .merges_per_block = image.merges_per_block};
  const MergePlan plan(std::vector<MergePlan::Image>{planned, planned}, model_.blocks,
                       model_.prefix_tokens);
  std::vector<Segment> segments;
  for (int block = 0; block <= model_.blocks; ++block) {
    segments.push_back({.offset = offset, .tokens = model_.tokens()});
    segments.push_back(plan.at(block)[1]);
  }
  return RunPlan({image, image}, {}, plan, segments.data());
}

TestResults TestSession::RunPlan(const std::vector<TestImage>& images, TestWants wants,
                                 const MergePlan& plan, const Segment* segments) const {
  std::vector<std::vector<uint8_t>> pixels;
  std::vector<const uint8_t*> pixel_pointers;
  std::vector<Pooling> pooling;
  TestResults results;
  results.plan = plan;
  std::vector<std::vector<float>>& embeddings = results.embeddings;
  for (const TestImage& image : images) {
    pixels.push_back(Pixels(model_, image.seed));
    pixel_pointers.push_back(pixels.back().data());
    pooling.push_back(image.pooling);
    embeddings.emplace_back(model_.embedding_dim(image.pooling), NAN);
  }
  std::vector<float*> embedding_pointers;
  for (std::vector<float>& embedding : embeddings) embedding_pointers.push_back(embedding.data());
  const size_t rows = plan.packed_tokens(model_.blocks);
  if (wants.tokens) results.tokens.assign(rows * model_.token_dim, NAN);
  if (wants.merge_map) {
    results.sizes.assign(rows, NAN);
    results.groups.assign(images.size() * model_.tokens(), -1);
  }
  const Batch batch{.images = static_cast<int32_t>(images.size()),
                    .segments = segments,
                    .pixels = pixel_pointers.data(),
                    .pooling = pooling.data(),
                    .want_tokens = wants.tokens,
                    .want_merge_map = wants.merge_map};
  const Results places{.embeddings = embedding_pointers.data(),
                       .tokens = results.tokens.data(),
                       .sizes = results.sizes.data(),
                       .groups = results.groups.data()};
  if (session_ == nullptr) {
    results.code = code_;
    results.message = message_;
    return results;
  }
  Message message;
  results.code = table_.run(session_, &batch, &places, &message);
  results.message = message.text;
  return results;
}

Statistics TestSession::statistics() const {
  Statistics statistics;
  if (session_ != nullptr) table_.statistics(session_, &statistics);
  return statistics;
}

std::string TestSession::description() const {
  return session_ != nullptr ? table_.description(session_) : message_;
}

}  // namespace tome::cuda
