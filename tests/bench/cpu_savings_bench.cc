// What leaves a value alone and saves time, each beside the same work without it, on all of Torch's
// threads, at the rows of 8 images of 197 tokens. The last block for prefix rows alone is `fast`
// beside `whole` in cpu_engine_bench.cc.

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/rand.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/model/linear.h"
#include "server/model/row_tiles.h"
#include "tests/bench/cpu_models.h"

namespace tome {
namespace {

constexpr int64_t kRows = int64_t{8} * 197;

class Mlp {
 public:
  Mlp(const BenchModel& model, c10::ScalarType type)
      : tiles_(RowTiling(at::get_num_threads()).Tiles(kRows)),
        x_(at::rand({kRows + kSpareRows, model.token_dim}).to(type)),
        scale_(at::rand({model.token_dim}).to(type)),
        fc1_(Layer(4 * model.token_dim, model.token_dim, type)),
        fc2_(Layer(model.token_dim, 4 * model.token_dim, type)) {}

  // A tile of rows goes through both layers while its hidden values are in a cache.
  void Tiled() {
    ForEachTile([&](int i) { Finish(i, fc2_.OfTile(Hidden(i))); });
  }

  // All rows go through a layer before the next one begins.
  void LayerByLayer() {
    std::vector<at::Tensor> hidden(tiles_.size());
    ForEachTile([&](int i) { hidden[i] = Hidden(i); });
    ForEachTile([&](int i) { Finish(i, fc2_.OfTile(hidden[i])); });
  }

  // As Tiled, with LayerScale as a product of its own instead of in fc2's weights.
  void Scaled() {
    ForEachTile([&](int i) { Finish(i, fc2_.OfTile(Hidden(i)).mul_(scale_)); });
  }

 private:
  static Linear Layer(int64_t outputs, int64_t inputs, c10::ScalarType type) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(inputs));
    return Linear((at::rand({outputs, inputs}) * scale).to(type), at::rand({outputs}).to(type));
  }

  at::Tensor Hidden(int i) const {
    return fc1_.OfTile(x_.narrow(0, tiles_[i].first, tiles_[i].padded_rows), Fused::kGelu);
  }

  void Finish(int i, const at::Tensor& rows) const {
    benchmark::DoNotOptimize(rows.narrow(0, 0, tiles_[i].rows).data_ptr());
  }

  void ForEachTile(const std::function<void(int)>& body) const {
    threads_(static_cast<int>(tiles_.size()), [&](int i, int) {
      const c10::InferenceMode inference;
      body(i);
    });
  }

  ops::TorchThreads threads_;
  std::vector<RowTile> tiles_;
  at::Tensor x_;
  at::Tensor scale_;
  Linear fc1_;
  Linear fc2_;
};

int Register() {
  for (const BenchModel& model : BenchModels()) {
    for (const auto type : {c10::ScalarType::Float, c10::ScalarType::BFloat16}) {
      const auto add = [&](const std::string& way, void (Mlp::*run)()) {
        const std::string name =
            absl::StrCat("mlp/", model.name,
                         type == c10::ScalarType::Float ? "/float32" : "/bfloat16", "/", way);
        benchmark::RegisterBenchmark(name.c_str(),
                                     [model, type, run](benchmark::State& state) {
                                       const c10::InferenceMode inference;
                                       Mlp mlp(model, type);
                                       for (auto _ : state) (mlp.*run)();
                                     })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      };
      add("tiled", &Mlp::Tiled);
      add("layer_by_layer", &Mlp::LayerByLayer);
      add("scale_apart", &Mlp::Scaled);
    }
  }
  return 0;
}

[[maybe_unused]] const int kRegistered = Register();

}  // namespace
}  // namespace tome
