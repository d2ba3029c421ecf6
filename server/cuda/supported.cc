#include "server/cuda/supported.h"

#include <string>

#include "server/cuda/failure.h"
#include "server/cuda/linear.h"
#include "server/kernels/element_type.h"

namespace tome::cuda {
namespace {

constexpr int kMaxHeadSize = 128;

void RequireMultiple(const char* name, int value) {
  Require(value > 0 && value % kernels::kElementsPerAccess == 0,
          std::string(name) + ": " + std::to_string(value) + " is not a multiple of " +
              std::to_string(kernels::kElementsPerAccess));
}

void RequireWithin(const char* name, int value, int lowest, int highest) {
  Require(value >= lowest && value <= highest, std::string(name) + ": " + std::to_string(value) +
                                                   " is outside [" + std::to_string(lowest) + ", " +
                                                   std::to_string(highest) + "]");
}

}  // namespace

void CheckSupported(const Model& model, const Options& options) {
  RequireWithin("blocks", model.blocks, 1, 1000);
  RequireMultiple("token width", model.token_dim);
  RequireWithin("token width", model.token_dim, 1, kernels::kMaxWidth);
  RequireMultiple("MLP width", model.mlp_hidden_dim);
  RequireWithin("heads", model.heads, 1, model.token_dim);
  Require(model.token_dim % model.heads == 0, "heads: " + std::to_string(model.heads) +
                                                  " do not divide the token width " +
                                                  std::to_string(model.token_dim));
  RequireMultiple("head size", model.token_dim / model.heads);
  RequireWithin("head size", model.token_dim / model.heads, 1, kMaxHeadSize);
  if (model.projection_dim > 0) RequireMultiple("embedding width", model.projection_dim);
  RequireWithin("max images", options.max_images, 1, LinearAlgorithms::kMostRows / model.tokens());
  RequireWithin("max concurrent runs", options.max_concurrent_runs, 1, 16);
  RequireWithin("max graphs", options.max_graphs, 0, 1 << 16);
}

}  // namespace tome::cuda
