#include "server/engine/self_test.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

#include "server/base/status.h"

namespace tome {
namespace {

absl::Status Failed(absl::string_view what) {
  return absl::InternalError(absl::StrCat("self-test: ", what));
}

// The same r in every block, about `share` of the tokens merged in all.
std::vector<int> ConstantMerges(const ModelFacts& facts, double share) {
  const int r = static_cast<int>(share * facts.tokens() / facts.blocks);
  return std::vector<int>(facts.blocks, std::max(r, 1));
}

absl::StatusOr<std::vector<EmbeddedImage>> RunAll(Engine& engine,
                                                  const std::vector<EngineImage>& images) {
  std::vector<absl::StatusOr<EmbeddedImage>> results = engine.Run(images);
  if (results.size() != images.size()) {
    return Failed(absl::StrCat("a batch of ", images.size(), " gave ", results.size(), " results"));
  }
  std::vector<EmbeddedImage> embedded;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].ok()) {
      return Failed(absl::StrCat("image ", i, " of a batch of ", images.size(), ": ",
                                 results[i].status().message()));
    }
    embedded.push_back(*std::move(results[i]));
  }
  return embedded;
}

// Differences count from the bits up: -0 is not 0, and a NaN equals itself.
absl::Status SameBits(absl::string_view name, const std::vector<float>& alone,
                      const std::vector<float>& batched) {
  if (alone.size() != batched.size()) {
    return Failed(absl::StrCat(name, " has ", batched.size(), " numbers in a batch, ", alone.size(),
                               " alone"));
  }
  for (size_t i = 0; i < alone.size(); ++i) {
    if (std::bit_cast<uint32_t>(alone[i]) != std::bit_cast<uint32_t>(batched[i])) {
      return Failed(
          absl::StrCat(name, "[", i, "] is ", batched[i], " in a batch, ", alone[i], " alone"));
    }
  }
  return absl::OkStatus();
}

absl::Status SameMap(const MergeMap& alone, const MergeMap& batched) {
  if (alone.group_of_patch.size() != batched.group_of_patch.size()) {
    return Failed(absl::StrCat("the merge map has ", batched.group_of_patch.size(),
                               " patches in a batch, ", alone.group_of_patch.size(), " alone"));
  }
  for (size_t patch = 0; patch < alone.group_of_patch.size(); ++patch) {
    if (alone.group_of_patch[patch] != batched.group_of_patch[patch]) {
      return Failed(absl::StrCat("patch ", patch, " is in token ", batched.group_of_patch[patch],
                                 " in a batch, in token ", alone.group_of_patch[patch], " alone"));
    }
  }
  return SameBits("size", alone.size, batched.size);
}

absl::Status Same(const EmbeddedImage& alone, const EmbeddedImage& batched) {
  if (!alone.merge_map.has_value() || !batched.merge_map.has_value()) {
    return Failed("a merge map was asked for and is missing");
  }
  TOME_RETURN_IF_ERROR(SameMap(*alone.merge_map, *batched.merge_map));
  TOME_RETURN_IF_ERROR(SameBits("embedding", alone.embedding, batched.embedding));
  return SameBits("tokens", alone.tokens, batched.tokens);
}

absl::Status Finite(const ModelFacts& facts, const EmbeddedImage& image) {
  if (image.embedding.size() != static_cast<size_t>(facts.embedding_dim)) {
    return Failed(absl::StrCat("the embedding has ", image.embedding.size(), " numbers, the model ",
                               facts.embedding_dim));
  }
  for (size_t i = 0; i < image.embedding.size(); ++i) {
    if (!std::isfinite(image.embedding[i])) {
      return Failed(absl::StrCat("embedding[", i, "] is ", image.embedding[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<uint8_t> ProceduralImage(const ModelFacts& facts, int seed) {
  const int height = facts.preprocessing.crop_height;
  const int width = facts.preprocessing.crop_width;
  std::vector<uint8_t> pixels;
  pixels.reserve(static_cast<size_t>(height) * width * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool tile = ((x * (3 + seed) / width) + (y * 5 / height)) % 2 == 0;
      pixels.push_back(static_cast<uint8_t>(255 * x / width));
      pixels.push_back(static_cast<uint8_t>(tile ? 40 + 40 * seed : 255 * y / height));
      pixels.push_back(static_cast<uint8_t>((7 * x + (11 + seed) * y) % 256));
    }
  }
  return pixels;
}

absl::Status SelfTest(Engine& engine) {
  const ModelFacts& facts = engine.facts();
  const std::vector<uint8_t> first = ProceduralImage(facts, 0);
  const std::vector<uint8_t> second = ProceduralImage(facts, 1);
  const std::vector<int> less = ConstantMerges(facts, 0.3);
  const std::vector<int> more = ConstantMerges(facts, 0.6);
  const std::vector<int> none(facts.blocks, 0);
  const auto image = [](const std::vector<uint8_t>& pixels, const std::vector<int>& merges) {
    return EngineImage{
        .pixels = pixels, .merges_per_block = merges, .want_tokens = true, .want_merge_map = true};
  };

  TOME_ASSIGN_OR_RETURN(const auto first_alone, RunAll(engine, {image(first, less)}));
  TOME_ASSIGN_OR_RETURN(const auto second_alone, RunAll(engine, {image(second, more)}));
  TOME_ASSIGN_OR_RETURN(const auto mixed, RunAll(engine, {image(second, more), image(second, none),
                                                          image(first, less)}));

  TOME_RETURN_IF_ERROR(Finite(facts, first_alone[0]));
  TOME_RETURN_IF_ERROR(Finite(facts, second_alone[0]));
  TOME_RETURN_IF_ERROR(Same(second_alone[0], mixed[0]));
  return Same(first_alone[0], mixed[2]);
}

}  // namespace tome
