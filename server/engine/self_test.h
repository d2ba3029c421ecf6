#ifndef TOME_SERVER_ENGINE_SELF_TEST_H_
#define TOME_SERVER_ENGINE_SELF_TEST_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

#include "server/engine/engine.h"

namespace tome {

// A picture of the model's input size that needs no file: smooth colours with hard edges, so that
// tokens are neither all alike nor all different. Another `seed`, another picture.
std::vector<uint8_t> ProceduralImage(const ModelFacts& facts, int seed);

// The largest batch of SelfTest.
inline constexpr int kSelfTestImages = 3;

// Whether the engine keeps its promise on this machine: two pictures with different r, each alone
// and then among others in one batch, must give the same merge map, embedding and tokens to the
// bit, all finite. INTERNAL, naming what differed and where, if not; the server must not become
// ready then. Three batches' time.
absl::Status SelfTest(Engine& engine);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_SELF_TEST_H_
