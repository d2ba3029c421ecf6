#include "server/engine/reference_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/engine/self_test.h"

namespace tome {
namespace {

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0;
  double square_a = 0;
  double square_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    square_a += double{a[i]} * a[i];
    square_b += double{b[i]} * b[i];
  }
  return product / std::sqrt(square_a * square_b);
}

}  // namespace

absl::Status CheckAgainstReference(Engine& engine, Engine& reference) {
  const ModelFacts& facts = engine.facts();
  // About a third of the tokens in all.
  const std::vector<int> merges(facts.blocks, std::max(facts.tokens() / (3 * facts.blocks), 1));
  const std::vector<int> no_merges(facts.blocks, 0);
  for (int seed = 0; seed < 2; ++seed) {
    const std::vector<uint8_t> pixels = ProceduralImage(facts, seed);
    const std::vector<EngineImage> images = {{.pixels = pixels, .merges_per_block = no_merges},
                                             {.pixels = pixels, .merges_per_block = merges}};
    const std::vector<absl::StatusOr<EmbeddedImage>> own = engine.Run(images);
    const std::vector<absl::StatusOr<EmbeddedImage>> wanted = reference.Run(images);
    for (size_t i = 0; i < images.size(); ++i) {
      TOME_RETURN_IF_ERROR(own[i].status());
      TOME_RETURN_IF_ERROR(wanted[i].status());
      const double cosine = Cosine(own[i]->embedding, wanted[i]->embedding);
      if (!(cosine >= kLeastReferenceCosine)) {
        return absl::InternalError(absl::StrCat(
            "self-test: picture ", seed, " at r=", images[i].merges_per_block.front(), " on ",
            facts.device, " in ", facts.dtype, " has cosine ", cosine,
            " to the reference on the CPU, at least ", kLeastReferenceCosine, " is needed"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tome
