// Whole passes over ViTs at 224 x 224, and the packed products they are measured against: the four
// layers of a block at the rows of a full batch. GFLOP/s count what is computed at r = 0.

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/merge/flops.h"
#include "server/merge/merge_schedule.h"
#include "server/model/fast_pass.h"
#include "tests/bench/cpu_models.h"

namespace tome {
namespace {

struct Passes {
  Passes(const BenchModel& model, c10::ScalarType type)
      : checkpoint(MakeCheckpoint(model)),
        fast(checkpoint.tensors, type),
        reference(checkpoint.vit(), LoadVitWeights(checkpoint.tensors, type)) {
    fast.WarmUp();
  }

  Checkpoint checkpoint;
  FastPass fast;
  ReferencePass reference;
};

// Of the model that was asked for last: they are large.
Passes& PassesOf(const BenchModel& model, c10::ScalarType type) {
  static std::pair<std::string, c10::ScalarType> key;
  static std::unique_ptr<Passes> passes;
  if (passes == nullptr || key != std::pair(model.name, type)) {
    passes.reset();
    passes = std::make_unique<Passes>(model, type);
    key = {model.name, type};
  }
  return *passes;
}

// kWhole: the fast pass with the last block for every row, as for final tokens or a merge map.
enum class Kind { kFast, kWhole, kReference };

std::string NameOf(Kind kind) {
  return kind == Kind::kFast ? "fast" : (kind == Kind::kWhole ? "whole" : "reference");
}

// r of each image drawn anew from 0 to 16 for each of the plans.
std::vector<MergePlan> RandomPlans(const VitDescription& vit, int images, int plans) {
  std::mt19937 random(2);
  std::vector<MergePlan> drawn;
  for (int i = 0; i < plans; ++i) {
    std::vector<MergePlan::Image> planned;
    for (int image = 0; image < images; ++image) {
      const MergeSchedule schedule(MergeSchedule::Constant{static_cast<int>(random() % 17)});
      planned.push_back(
          {.tokens = vit.tokens(), .merges_per_block = schedule.PerBlockMerges(vit.blocks)});
    }
    drawn.emplace_back(planned, vit.blocks, vit.prefix_tokens());
  }
  return drawn;
}

// Constant r; below 0: images of r = 0, 4, 8, 16 side by side, or r that falls from 16 to 0 over
// the blocks.
constexpr int kMixed = -1;
constexpr int kFalling = -2;

std::string NameOf(int r) {
  if (r == kMixed) return "mixed";
  return r == kFalling ? "falling" : absl::StrCat(r);
}

MergePlan PlanOf(const VitDescription& vit, int images, int r) {
  constexpr int kRs[] = {0, 4, 8, 16};
  std::vector<MergePlan::Image> planned;
  for (int i = 0; i < images; ++i) {
    const MergeSchedule schedule =
        r == kFalling ? MergeSchedule(MergeSchedule::Linear{.mean_r = 8, .inflection = -1.0})
                      : MergeSchedule(MergeSchedule::Constant{r == kMixed ? kRs[i % 4] : r});
    planned.push_back(
        {.tokens = vit.tokens(), .merges_per_block = schedule.PerBlockMerges(vit.blocks)});
  }
  return MergePlan(planned, vit.blocks, vit.prefix_tokens());
}

void RunPass(benchmark::State& state, const BenchModel& model, c10::ScalarType type, int images,
             int r, Kind kind) {
  const c10::InferenceMode inference;
  Passes& passes = PassesOf(model, type);
  const VitDescription& vit = passes.checkpoint.vit();
  const MergePlan plan = PlanOf(vit, images, r);
  std::mt19937 random(1);
  std::vector<uint8_t> pixels(size_t{224} * 224 * 3);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random());
  const std::vector<const uint8_t*> batch(images, pixels.data());
  const std::vector<VitPooling> pooling(images, vit.pooling);
  const at::Tensor tensor = at::randint(256, {images, 224, 224, 3}, c10::ScalarType::Byte);
  for (auto _ : state) {
    if (kind != Kind::kReference) {
      benchmark::DoNotOptimize(
          passes.fast.Run(batch, plan, pooling, kind == Kind::kWhole).embeddings.data());
    } else {
      benchmark::DoNotOptimize(
          passes.reference.Run(passes.reference.NormalizePixels(tensor), plan).embeddings.data());
    }
  }
  const BlockShape shape = {.token_dim = vit.token_dim, .mlp_hidden_dim = vit.mlp_hidden_dim};
  double executed = 0;
  for (int i = 0; i < images; ++i) {
    executed += BlockFlops(shape, vit.tokens(), plan.MergedPerBlock(i));
  }
  const double whole = BlockFlops(shape, vit.tokens(), std::vector<int>(vit.blocks)) * images;
  const double runs = static_cast<double>(state.iterations());
  const auto rate = benchmark::Counter::kIsRate;
  state.counters["images/s"] = benchmark::Counter(runs * images, rate);
  state.counters["GFLOP/s"] = benchmark::Counter(runs * executed * 1e-9, rate);
  state.counters["flop_ratio"] = whole / executed;
}

// Passes whose plans no pass before had (what a plan costs at its first sight is in each), or each
// of which ran before.
void RunRandomPlans(benchmark::State& state, const BenchModel& model, c10::ScalarType type,
                    int images, bool seen_before) {
  constexpr int kPlans = 12;
  const c10::InferenceMode inference;
  Passes& passes = PassesOf(model, type);
  const VitDescription& vit = passes.checkpoint.vit();
  const std::vector<MergePlan> plans = RandomPlans(vit, images, kPlans);
  const std::vector<uint8_t> pixels(size_t{224} * 224 * 3, 127);
  const std::vector<const uint8_t*> batch(images, pixels.data());
  const std::vector<VitPooling> pooling(images, vit.pooling);
  const auto run_all = [&] {
    for (const MergePlan& plan : plans) passes.fast.Run(batch, plan, pooling, false);
  };
  if (seen_before) run_all();
  for (auto _ : state) run_all();
  state.counters["images/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * kPlans * images, benchmark::Counter::kIsRate);
}

// The rate that oneDNN has on all threads, also where the engine multiplies by its own kernel.
at::Tensor PackForOneDnn(const at::Tensor& weight) {
  using Signature = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
      .typed<Signature>()
      .call(weight, std::nullopt);
}

at::Tensor MultiplyByOneDnn(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                 std::string_view, Scalars, std::optional<std::string_view>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                             .typed<Signature>();
  return op.call(x, packed, bias, "none", Scalars(), "");
}

void RunProducts(benchmark::State& state, const BenchModel& model, c10::ScalarType type,
                 int images) {
  const c10::InferenceMode inference;
  const int64_t dim = model.token_dim;
  const int64_t rows = int64_t{197} * images;
  const auto random = [&](at::IntArrayRef shape) { return at::rand(shape).to(type); };
  struct Layer {
    at::Tensor packed;
    at::Tensor bias;
    at::Tensor x;
  };
  std::vector<Layer> layers;
  double flops = 0;
  for (const auto& [outputs, inputs] : {std::pair(3 * dim, dim), std::pair(dim, dim),
                                        std::pair(4 * dim, dim), std::pair(dim, 4 * dim)}) {
    layers.push_back(
        {PackForOneDnn(random({outputs, inputs})), random({outputs}), random({rows, inputs})});
    flops += 2.0 * static_cast<double>(rows * outputs * inputs);
  }
  for (auto _ : state) {
    for (const Layer& layer : layers) {
      benchmark::DoNotOptimize(MultiplyByOneDnn(layer.x, layer.packed, layer.bias));
    }
  }
  state.counters["GFLOP/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * flops * 1e-9, benchmark::Counter::kIsRate);
}

int Register() {
  for (const BenchModel& model : BenchModels()) {
    for (const auto type : {c10::ScalarType::Float, c10::ScalarType::BFloat16}) {
      const std::string suffix =
          absl::StrCat(model.name, type == c10::ScalarType::Float ? "/float32" : "/bfloat16");
      for (const int images : {1, 8, 32}) {
        benchmark::RegisterBenchmark(absl::StrCat("products/", suffix, "/batch:", images).c_str(),
                                     RunProducts, model, type, images)
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
        // `new` first: in a process of its own (--benchmark_filter) its plans are new.
        for (const bool seen_before : {false, true}) {
          const std::string name =
              absl::StrCat("plans/", suffix, "/batch:", images, seen_before ? "/seen" : "/new");
          benchmark::RegisterBenchmark(name.c_str(), RunRandomPlans, model, type, images,
                                       seen_before)
              ->Iterations(1)
              ->UseRealTime()
              ->Unit(benchmark::kMillisecond);
        }
        for (const int r : {0, 8, 13, 16, kMixed, kFalling}) {
          for (const Kind kind : {Kind::kFast, Kind::kWhole, Kind::kReference}) {
            const std::string name =
                absl::StrCat(NameOf(kind), "/", suffix, "/batch:", images, "/r:", NameOf(r));
            benchmark::RegisterBenchmark(name.c_str(), RunPass, model, type, images, r, kind)
                ->UseRealTime()
                ->Unit(benchmark::kMillisecond);
          }
        }
      }
    }
  }
  return 0;
}

[[maybe_unused]] const int kRegistered = Register();

}  // namespace
}  // namespace tome
