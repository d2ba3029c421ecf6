#ifndef TOME_TESTS_BENCH_CPU_MODELS_H_
#define TOME_TESTS_BENCH_CPU_MODELS_H_

#include <string>
#include <vector>

#include "server/model/checkpoint.h"

namespace tome {

// A plain ViT with a class token, patches of 16, images of 224 x 224: only its size matters here.
struct BenchModel {
  std::string name;  // "S16"
  int token_dim = 0;
  int heads = 0;
};

const std::vector<BenchModel>& BenchModels();

// A checkpoint of that size with seeded random weights.
Checkpoint MakeCheckpoint(const BenchModel& model);

}  // namespace tome

#endif  // TOME_TESTS_BENCH_CPU_MODELS_H_
