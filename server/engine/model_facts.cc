#include "server/engine/model_facts.h"

#include <vector>

namespace tome {

ModelFacts FactsOf(const Checkpoint& checkpoint, const std::string& dtype,
                   const std::string& device) {
  const VitDescription& vit = checkpoint.vit();
  ModelFacts facts;
  facts.architecture = vit.architecture;
  facts.family = vit.family;
  facts.dtype = dtype;
  facts.device = device;
  facts.weights_digest = checkpoint.weights_digest;
  facts.preprocessing = vit.preprocessing;
  facts.patch_size = vit.patch_size;
  facts.grid_height = vit.grid_height;
  facts.grid_width = vit.grid_width;
  facts.prefix_tokens = vit.prefix_tokens();
  facts.blocks = vit.blocks;
  facts.block_shape = {.token_dim = vit.token_dim,
                       .mlp_hidden_dim = vit.mlp_hidden_dim,
                       .gated_mlp = vit.mlp == VitMlp::kSwiGlu};
  facts.embedding_dim = vit.embedding_dim();
  facts.class_token = vit.class_token;
  facts.proportional_attention = vit.proportional_attention;
  facts.profile = checkpoint.profile;
  return facts;
}

MergePlan PlanOf(const ModelFacts& facts, std::span<const EngineImage> images) {
  std::vector<MergePlan::Image> planned;
  for (const EngineImage& image : images) {
    planned.push_back(
        {.tokens = facts.tokens(),
         .merges_per_block = {image.merges_per_block.begin(), image.merges_per_block.end()}});
  }
  return MergePlan(planned, facts.blocks, facts.prefix_tokens);
}

}  // namespace tome
