#include "server/engine/warm_up.h"

#include <cstdint>
#include <vector>

#include "server/engine/self_test.h"

namespace tome {

absl::StatusOr<absl::Duration> WarmUp(Engine& engine, std::span<const int> batch_sizes,
                                      const Clock& clock) {
  const absl::Time start = clock.Now();
  const std::vector<uint8_t> pixels = ProceduralImage(engine.facts(), 0);
  const std::vector<int> no_merges(engine.facts().blocks, 0);
  for (const int size : batch_sizes) {
    const std::vector<EngineImage> batch(
        size, EngineImage{.pixels = pixels, .merges_per_block = no_merges});
    for (const absl::StatusOr<EmbeddedImage>& result : engine.Run(batch)) {
      if (!result.ok()) return result.status();
    }
  }
  return clock.Now() - start;
}

}  // namespace tome
