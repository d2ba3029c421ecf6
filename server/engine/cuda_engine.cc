#include "server/engine/cuda_engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/engine/cuda_module.h"
#include "server/engine/cuda_weights.h"
#include "server/engine/model_facts.h"

namespace tome {
namespace {

absl::StatusOr<cuda::ElementType> ElementTypeOf(const std::string& dtype) {
  if (dtype == "float32") return cuda::ElementType::kFloat32;
  if (dtype == "float16") return cuda::ElementType::kFloat16;
  if (dtype == "bfloat16") return cuda::ElementType::kBFloat16;
  return InvalidField("dtype", absl::StrCat("\"", dtype,
                                            "\" is not supported on GPUs; supported: float32, "
                                            "float16, bfloat16"));
}

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

cuda::Pooling PoolingOf(Pooling pooling, cuda::Pooling own) {
  switch (pooling) {
    case Pooling::kClassToken:
      return cuda::Pooling::kClassToken;
    case Pooling::kMean:
      return cuda::Pooling::kMeanOfPatches;
    case Pooling::kModelsOwn:
      break;
  }
  return own;
}

// A batch in the module's words, and room for what it leaves.
struct ModuleRun {
  ModuleRun(const ModelFacts& facts, cuda::Pooling own_pooling, std::span<const EngineImage> images)
      : plan(PlanOf(facts, images)) {
    batch.images = static_cast<int32_t>(images.size());
    for (const EngineImage& image : images) {
      pixels.push_back(image.pixels.data());
      pooling.push_back(PoolingOf(image.pooling, own_pooling));
      embeddings.emplace_back(facts.EmbeddingDim(image.pooling));
      batch.want_tokens |= image.want_tokens;
      batch.want_merge_map |= image.want_merge_map;
    }
    for (std::vector<float>& embedding : embeddings) places.push_back(embedding.data());
    const size_t rows = plan.packed_tokens(plan.blocks());
    if (batch.want_tokens) tokens.resize(rows * facts.block_shape.token_dim);
    if (batch.want_merge_map) {
      sizes.resize(rows);
      groups.resize(images.size() * facts.tokens());
    }
    batch.segments = plan.at(0).data();
    batch.pixels = pixels.data();
    batch.pooling = pooling.data();
    results = {.embeddings = places.data(),
               .tokens = tokens.data(),
               .sizes = sizes.data(),
               .groups = groups.data()};
  }
  ModuleRun(const ModuleRun&) = delete;
  ModuleRun& operator=(const ModuleRun&) = delete;

  const MergePlan plan;
  std::vector<const uint8_t*> pixels;
  std::vector<cuda::Pooling> pooling;
  std::vector<std::vector<float>> embeddings;
  std::vector<float*> places;
  std::vector<float> tokens;
  std::vector<float> sizes;
  std::vector<int32_t> groups;
  cuda::Batch batch;
  cuda::Results results;
};

class CudaEngine final : public Engine {
 public:
  CudaEngine(const cuda::Table& module, cuda::Session& session, ModelFacts facts,
             cuda::Pooling pooling)
      : module_(module), session_(session), facts_(std::move(facts)), pooling_(pooling) {}

  ~CudaEngine() override { module_.unload(&session_); }
  CudaEngine(const CudaEngine&) = delete;
  CudaEngine& operator=(const CudaEngine&) = delete;

  const ModelFacts& facts() const override { return facts_; }
  bool lost() const override { return lost_.load(); }

  std::vector<absl::StatusOr<EmbeddedImage>> Run(std::span<const EngineImage> images) override {
    ModuleRun run(facts_, pooling_, images);
    cuda::Message message;
    const cuda::Code code = module_.run(&session_, &run.batch, &run.results, &message);
    if (code != cuda::Code::kOk) {
      return std::vector<absl::StatusOr<EmbeddedImage>>(images.size(), Failed(code, message));
    }
    std::vector<absl::StatusOr<EmbeddedImage>> results;
    for (size_t i = 0; i < images.size(); ++i) {
      results.push_back(ResultOf(images[i], static_cast<int>(i), run));
    }
    return results;
  }

  EngineStatistics statistics() const override {
    cuda::Statistics counted;
    module_.statistics(&session_, &counted);
    return {.graph_runs = counted.graph_runs,
            .eager_runs = counted.eager_runs,
            .copy_seconds = counted.copy_seconds,
            .pass_seconds = counted.pass_seconds};
  }

 private:
  // What callers are told; the log gets the cause.
  absl::Status Failed(cuda::Code code, const cuda::Message& message) {
    if (code == cuda::Code::kDeviceLost) {
      if (!lost_.exchange(true)) {
        LogError("a GPU is lost", {{"device", facts_.device}, {"cause", message.text}});
      }
      return absl::UnavailableError("the GPU that held the image is lost: call another server");
    }
    LogError("the pass over the batch failed",
             {{"device", facts_.device}, {"cause", message.text}});
    return absl::InternalError("the pass over the batch failed");
  }

  absl::StatusOr<EmbeddedImage> ResultOf(const EngineImage& image, int index,
                                         ModuleRun& run) const {
    EmbeddedImage result;
    result.embedding = std::move(run.embeddings[index]);
    if (!AllFinite(result.embedding)) {
      return absl::InternalError("the embedding of this image is not finite");
    }
    const Segment& last = run.plan.at(run.plan.blocks())[index];
    result.merged_per_block = run.plan.MergedPerBlock(index);
    result.tokens_out = last.tokens;
    if (image.want_tokens) {
      const ptrdiff_t width = facts_.block_shape.token_dim;
      const auto first = run.tokens.begin() + last.offset * width;
      result.tokens.assign(first, first + last.tokens * width);
    }
    if (image.want_merge_map) {
      const auto first = run.groups.begin() + run.plan.at(0)[index].offset;
      MergeMap map;
      for (auto group = first + facts_.prefix_tokens; group != first + facts_.tokens(); ++group) {
        map.group_of_patch.push_back(*group - last.offset);
      }
      map.size.assign(run.sizes.begin() + last.offset,
                      run.sizes.begin() + last.offset + last.tokens);
      result.merge_map = std::move(map);
    }
    return result;
  }

  // Constant after construction.
  const cuda::Table& module_;
  cuda::Session& session_;
  const ModelFacts facts_;
  const cuda::Pooling pooling_;

  std::atomic<bool> lost_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> LoadCudaEngine(const cuda::Table& module,
                                                       const Checkpoint& checkpoint,
                                                       const CudaEngineOptions& options) {
  const std::string dtype = options.dtype == "auto" ? "bfloat16" : options.dtype;
  TOME_ASSIGN_OR_RETURN(const cuda::ElementType type, ElementTypeOf(dtype));
  const std::string device = absl::StrCat("cuda:", options.device);
  cuda::Message message;
  cuda::DeviceFacts gpu;
  TOME_RETURN_IF_ERROR(ToStatus(module.device_facts(options.device, &gpu, &message), message));
  const cuda::Model model = CudaModelOf(checkpoint.vit());
  const cuda::WeightSource weights = CudaWeightsOf(checkpoint.tensors);
  const cuda::Options module_options{.device = options.device,
                                     .type = type,
                                     .max_images = options.max_images,
                                     .max_concurrent_runs = options.concurrent_runs,
                                     .max_graphs = options.max_graphs};
  cuda::Session* session = nullptr;
  TOME_RETURN_IF_ERROR(
      ToStatus(module.load(&model, &weights, &module_options, &session, &message), message));
  ModelFacts facts = FactsOf(checkpoint, dtype, device);
  facts.concurrent_runs = options.concurrent_runs;
  LogInfo("GPU ready", {{"device", device},
                        {"name", gpu.name},
                        {"compute_capability", absl::StrCat(gpu.major, ".", gpu.minor)},
                        {"max_images", options.max_images}});
  for (const absl::string_view line :
       absl::StrSplit(module.description(session), '\n', absl::SkipEmpty())) {
    LogInfo("GPU algorithm", {{"device", device}, {"choice", line}});
  }
  return std::make_unique<CudaEngine>(module, *session, std::move(facts),
                                      CudaPoolingOf(checkpoint.vit().pooling));
}

}  // namespace tome
