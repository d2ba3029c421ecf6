#include "server/engine/torch_engine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/engine/model_facts.h"
#include "server/model/checkpoint.h"
#include "server/model/fast_pass.h"

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
  // `tensors` are only read here.
  TorchEngine(ModelFacts facts, const VitTensors& tensors, c10::ScalarType compute_type)
      : facts_(std::move(facts)),
        own_pooling_(tensors.vit().pooling),
        pass_(tensors, compute_type) {}

  void WarmUp() const { pass_.WarmUp(); }

  const ModelFacts& facts() const override { return facts_; }

  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    std::vector<absl::StatusOr<EmbeddedImage>> results;
    const absl::Status status = CatchAll(absl::InternalError("the pass over the batch failed"),
                                         [&] { results = RunOrThrow(images); });
    if (!status.ok()) results.assign(images.size(), status);
    return results;
  }

 private:
  std::vector<absl::StatusOr<EmbeddedImage>> RunOrThrow(std::span<const EngineImage> images) {
    const c10::InferenceMode inference;
    // The thread count is kept by thread; a thread that never ran Torch has its own default.
    at::init_num_threads();
    const MergePlan plan = PlanOf(facts_, images);
    std::vector<const uint8_t*> pixels;
    std::vector<VitPooling> pooling;
    bool want_tokens_or_maps = false;
    for (const EngineImage& image : images) {
      pixels.push_back(image.pixels.data());
      pooling.push_back(PoolingOf(image.pooling));
      want_tokens_or_maps |= image.want_tokens || image.want_merge_map;
    }
    const FastPassResult pass = pass_.Run(pixels, plan, pooling, want_tokens_or_maps);

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

  absl::StatusOr<EmbeddedImage> ResultOf(const EngineImage& image, int index, const MergePlan& plan,
                                         const FastPassResult& pass) const {
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
      std::vector<int> group;
      const Segment& start = plan.at(0)[index];
      for (int row = start.offset + facts_.prefix_tokens; row < start.offset + start.tokens;
           ++row) {
        group.push_back(pass.final_row[row] - segment.offset);
      }
      result.merge_map = {.group_of_patch = std::move(group),
                          .size = ToVector(pass.size.narrow(0, segment.offset, segment.tokens))};
    }
    return result;
  }

  // Constant after construction.
  const ModelFacts facts_;
  const VitPooling own_pooling_;

  FastPass pass_;
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
  TOME_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(options.directory));
  return LoadTorchEngine(checkpoint, options);
}

absl::StatusOr<std::unique_ptr<Engine>> LoadTorchEngine(const Checkpoint& checkpoint,
                                                        const TorchEngineOptions& options) {
  const std::string dtype =
      options.dtype != "auto" ? options.dtype : (HasFastBFloat16() ? "bfloat16" : "float32");
  TOME_ASSIGN_OR_RETURN(const c10::ScalarType compute_type, ComputeType(dtype));
  std::unique_ptr<Engine> engine;
  TOME_RETURN_IF_ERROR(CatchAll(absl::InternalError("the weights could not be loaded"), [&] {
    const c10::InferenceMode inference;
    SetThreads(options.compute_threads);
    auto loaded = std::make_unique<TorchEngine>(FactsOf(checkpoint, dtype, "cpu"),
                                                checkpoint.tensors, compute_type);
    if (options.warm_up) loaded->WarmUp();
    engine = std::move(loaded);
  }));
  return engine;
}

}  // namespace tome
