#include "server/engine/torch_engine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/engine/model_facts.h"
#include "server/model/checkpoint.h"
#include "server/model/reference_pass.h"
#include "server/model/vit_weights.h"

namespace tome {
namespace {

absl::StatusOr<c10::ScalarType> ComputeType(const std::string& dtype) {
  if (dtype == "float32") return c10::ScalarType::Float;
  if (dtype == "bfloat16") {
    if (!HasBFloat16()) {
      LogWarning(
          "bfloat16 is slower than float32 on this processor: it has no AVX-512, so each product "
          "is "
          "computed in float32 and rounded");
    }
    return c10::ScalarType::BFloat16;
  }
  return InvalidField("dtype", absl::StrCat("\"", dtype,
                                            "\" is not supported on the CPU; supported: float32, "
                                            "bfloat16"));
}

// Runs `body`, and turns what it throws into `fixed`; the log gets what was thrown.
template <typename Body>
absl::Status CatchAll(const absl::Status& fixed, const Body& body) {
  try {
    body();
    return absl::OkStatus();
  } catch (const c10::Error& error) {
    LogError(fixed.message(), {{"cause", error.what_without_backtrace()}});
  } catch (const std::exception& error) {
    LogError(fixed.message(), {{"cause", error.what()}});
  }
  return fixed;
}

std::vector<float> ToVector(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.contiguous();
  const float* data = contiguous.const_data_ptr<float>();
  return {data, data + contiguous.numel()};
}

class TorchEngine final : public Engine {
 public:
  TorchEngine(ModelFacts facts, VitPooling own_pooling, ReferencePass pass)
      : facts_(std::move(facts)), own_pooling_(own_pooling), pass_(std::move(pass)) {}

  const ModelFacts& facts() const override { return facts_; }

  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    std::vector<absl::StatusOr<EmbeddedImage>> results;
    const absl::Status status = CatchAll(absl::InternalError("the pass over the batch failed"),
                                         [&] { results = RunOrThrow(images); });
    if (!status.ok()) results.assign(images.size(), status);
    return results;
  }

 private:
  std::vector<absl::StatusOr<EmbeddedImage>> RunOrThrow(std::span<const EngineImage> images) const {
    const c10::InferenceMode inference;
    // The thread count is kept by thread; a thread that never ran Torch has its own default.
    at::init_num_threads();
    const MergePlan plan = PlanOf(facts_, images);
    std::vector<VitPooling> pooling;
    for (const EngineImage& image : images) pooling.push_back(PoolingOf(image.pooling));
    const PassResult pass = pass_.Run(pass_.NormalizePixels(Pixels(images)), plan, pooling);

    std::vector<absl::StatusOr<EmbeddedImage>> results;
    for (size_t i = 0; i < images.size(); ++i) {
      results.push_back(ResultOf(images[i], static_cast<int>(i), plan, pass));
    }
    return results;
  }

  VitPooling PoolingOf(Pooling pooling) const {
    switch (pooling) {
      case Pooling::kClassToken:
        return VitPooling::kClassToken;
      case Pooling::kMean:
        return VitPooling::kMeanOfPatches;
      case Pooling::kModelsOwn:
        break;
    }
    return own_pooling_;
  }

  // [images, height, width, 3] uint8.
  at::Tensor Pixels(std::span<const EngineImage> images) const {
    at::Tensor pixels =
        at::empty({static_cast<int64_t>(images.size()), facts_.preprocessing.crop_height,
                   facts_.preprocessing.crop_width, 3},
                  c10::ScalarType::Byte);
    uint8_t* next = pixels.mutable_data_ptr<uint8_t>();
    for (const EngineImage& image : images) {
      std::memcpy(next, image.pixels.data(), image.pixels.size());
      next += image.pixels.size();
    }
    return pixels;
  }

  absl::StatusOr<EmbeddedImage> ResultOf(const EngineImage& image, int index, const MergePlan& plan,
                                         const PassResult& pass) const {
    const Segment& segment = plan.at(plan.blocks())[index];
    EmbeddedImage result;
    result.embedding = ToVector(pass.embeddings[index]);
    if (!std::ranges::all_of(result.embedding, [](float x) { return std::isfinite(x); })) {
      return absl::InternalError("the embedding of this image is not finite");
    }
    result.merged_per_block = plan.MergedPerBlock(index);
    result.tokens_out = segment.tokens;
    if (image.want_tokens) {
      result.tokens = ToVector(pass.tokens.narrow(0, segment.offset, segment.tokens));
    }
    if (image.want_merge_map) {
      const std::vector<int> group = GroupOfToken(plan, pass.matches, index);
      result.merge_map = {.group_of_patch = {group.begin() + facts_.prefix_tokens, group.end()},
                          .size = ToVector(pass.size.narrow(0, segment.offset, segment.tokens))};
    }
    return result;
  }

  // Constant after construction.
  const ModelFacts facts_;
  const VitPooling own_pooling_;
  const ReferencePass pass_;
};

// Both are settings of the process. Torch allows the second one only once.
void SetThreads(int compute_threads) {
  at::set_num_threads(compute_threads);
  static const bool once = [] {
    at::set_num_interop_threads(1);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> LoadTorchEngine(const TorchEngineOptions& options) {
  TOME_ASSIGN_OR_RETURN(const c10::ScalarType compute_type, ComputeType(options.dtype));
  TOME_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(options.directory));
  std::unique_ptr<Engine> engine;
  TOME_RETURN_IF_ERROR(CatchAll(absl::InternalError("the weights could not be loaded"), [&] {
    const c10::InferenceMode inference;
    SetThreads(options.compute_threads);
    engine = std::make_unique<TorchEngine>(
        FactsOf(checkpoint, options.dtype, "cpu"), checkpoint.vit().pooling,
        ReferencePass(checkpoint.vit(), LoadVitWeights(checkpoint.tensors, compute_type)));
  }));
  return engine;
}

}  // namespace tome
