#ifndef TOME_SERVER_ENGINE_WARM_UP_H_
#define TOME_SERVER_ENGINE_WARM_UP_H_

#include <span>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/engine/engine.h"

namespace tome {

// Runs one batch of each size without merging, so that the first requests do not pay for what the
// engine builds and caches by shape. Returns the time it took, or the first image's failure.
// REQUIRES: each size > 0.
absl::StatusOr<absl::Duration> WarmUp(Engine& engine, std::span<const int> batch_sizes,
                                      const Clock& clock);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_WARM_UP_H_
