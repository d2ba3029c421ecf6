#ifndef TOME_SERVER_ENGINE_MODEL_FACTS_H_
#define TOME_SERVER_ENGINE_MODEL_FACTS_H_

#include <span>
#include <string>

#include "server/engine/engine.h"
#include "server/merge/merge_plan.h"
#include "server/model/checkpoint.h"

namespace tome {

// What a checkpoint is, computed in `dtype` on `device`.
ModelFacts FactsOf(const Checkpoint& checkpoint, const std::string& dtype,
                   const std::string& device);

// The plan of a batch.
MergePlan PlanOf(const ModelFacts& facts, std::span<const EngineImage> images);

}  // namespace tome

#endif  // TOME_SERVER_ENGINE_MODEL_FACTS_H_
