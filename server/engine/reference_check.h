#ifndef TOME_SERVER_ENGINE_REFERENCE_CHECK_H_
#define TOME_SERVER_ENGINE_REFERENCE_CHECK_H_

#include "absl/status/status.h"

#include "server/engine/engine.h"

namespace tome {

// Least cosine between an engine's embedding and the reference's.
inline constexpr double kLeastReferenceCosine = 0.999;

// Whether `engine` computes what `reference`, the same checkpoint in float32 on the CPU, does: two
// pictures, without merging and with, must come out alike. INTERNAL with the cosine if not; the
// server must not become ready then. Two batches' time of each.
absl::Status CheckAgainstReference(Engine& engine, Engine& reference);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_REFERENCE_CHECK_H_
