#ifndef TOME_TESTS_BENCH_CUDA_MODELS_H_
#define TOME_TESTS_BENCH_CUDA_MODELS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "server/cuda/module.h"

namespace tome::bench {

struct NamedModel {
  std::string name;
  cuda::Model model;
};

// ViT-B/16, L/16 and H/14 at 224, L/14 at 336: class token, exact GELU.
std::vector<NamedModel> BenchModels();

// Random weights of a trained model's size: time does not depend on the values, but does on their
// not being zeros.
cuda::WeightSource RandomWeights();

// The r that merges all that can be merged by the last block, and half of it.
int MostR(const cuda::Model& model);

// What each block merges at a constant r, after the cap.
std::vector<int> MergedPerBlock(const cuda::Model& model, int r);

// Floating-point operations of the blocks of one image.
double Flops(const cuda::Model& model, int r);

// A batch of images with the r of each.
class BenchBatch {
 public:
  BenchBatch(const cuda::Model& model, std::span<const int> r_of_image);
  BenchBatch(const BenchBatch&) = delete;
  BenchBatch& operator=(const BenchBatch&) = delete;

  const cuda::Batch& batch() const { return batch_; }
  const cuda::Results& results() const { return results_; }
  const std::vector<std::vector<float>>& embeddings() const { return embeddings_; }

 private:
  std::vector<Segment> segments_;
  std::vector<std::vector<uint8_t>> pixels_;
  std::vector<const uint8_t*> pixel_pointers_;
  std::vector<cuda::Pooling> pooling_;
  std::vector<std::vector<float>> embeddings_;
  std::vector<float*> embedding_pointers_;
  cuda::Batch batch_;
  cuda::Results results_;
};

}  // namespace tome::bench

#endif  // TOME_TESTS_BENCH_CUDA_MODELS_H_
