// Times the CUDA engine's module through its table, as the server calls it: random weights, uint8
// pixels from host memory to embeddings in host memory, two runs in flight.
//   cuda_bench libtome_cuda.so [MODEL...]    MODEL: B/16@224 L/16@224 H/14@224 L/14@336
// Prints a line of JSON for each measurement, for gpu_report.py.

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "server/cuda/module.h"
#include "tests/bench/cuda_models.h"
#include "tests/bench/gemm_peak.h"

namespace tome::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kMaxImages = 256;
constexpr double kSecondsEach = 0.4;

[[noreturn]] void Die(const char* what, const char* why) {
  std::fprintf(stderr, "cuda_bench: %s: %s\n", what, why);
  std::exit(1);
}

double SecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

class Bench {
 public:
  Bench(const cuda::Table& table, NamedModel model, cuda::ElementType type, const char* type_name)
      : table_(table), model_(std::move(model)), type_name_(type_name) {
    const cuda::WeightSource weights = RandomWeights();
    const cuda::Options options{
        .type = type, .max_images = kMaxImages, .max_concurrent_runs = 2, .max_graphs = 64};
    cuda::Message message;
    if (table_.load(&model_.model, &weights, &options, &session_, &message) != cuda::Code::kOk) {
      Die("load", message.text);
    }
    std::fprintf(stderr, "%s", table_.description(session_));
  }
  ~Bench() { table_.unload(session_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  const cuda::Model& model() const { return model_.model; }

  // Images a second from pixels to embeddings, and device seconds of a pass.
  double Measure(const std::string& label, const std::vector<int>& r_of_image) const {
    BenchBatch first(model(), r_of_image);
    BenchBatch second(model(), r_of_image);
    for (int warm_up = 0; warm_up < 3; ++warm_up) Run(first);
    const double once = TimeOf(first);
    const int runs = std::clamp(static_cast<int>(kSecondsEach / once), 4, 400);
    cuda::Statistics before;
    table_.statistics(session_, &before);
    std::atomic<int> left = runs;
    const auto begin = SteadyClock::now();
    const auto work = [&](const BenchBatch& batch) {
      while (left.fetch_sub(1) > 0) Run(batch);
    };
    std::thread other([&] { work(second); });
    work(first);
    other.join();
    const double seconds = SecondsSince(begin);
    cuda::Statistics after;
    table_.statistics(session_, &after);
    const double images = static_cast<double>(r_of_image.size()) * runs;
    const double rate = images / seconds;
    std::printf(
        "{\"kind\": \"engine\", \"model\": \"%s\", \"type\": \"%s\", \"batch\": %zu, "
        "\"r\": \"%s\", \"images_per_second\": %.1f, \"alone_ms\": %.3f, \"pass_ms\": %.3f, "
        "\"copy_ms\": %.3f, \"graphs\": %llu}\n",
        model_.name.c_str(), type_name_, r_of_image.size(), label.c_str(), rate, once * 1e3,
        (after.pass_seconds - before.pass_seconds) / runs * 1e3,
        (after.copy_seconds - before.copy_seconds) / runs * 1e3,
        static_cast<unsigned long long>(after.graph_runs - before.graph_runs));
    std::fflush(stdout);
    return rate;
  }

  // Where a pass's time goes, by step.
  void Timeline(int images, int r) const {
    BenchBatch batch(model(), std::vector<int>(images, r));
    Run(batch);
    std::vector<cuda::Step> steps(2000);
    std::map<std::string, std::pair<int, double>> by_name;
    constexpr int kTimes = 3;
    for (int i = 0; i < kTimes; ++i) {
      int32_t count = 0;
      cuda::Message message;
      if (table_.profile(session_, &batch.batch(), &batch.results(), steps.data(),
                         static_cast<int32_t>(steps.size()), &count, &message) != cuda::Code::kOk) {
        Die("profile", message.text);
      }
      for (int step = 0; step < count; ++step) {
        auto& [times, seconds] = by_name[steps[step].name];
        ++times;
        seconds += steps[step].seconds;
      }
    }
    for (const auto& [name, step] : by_name) {
      std::printf(
          "{\"kind\": \"step\", \"model\": \"%s\", \"type\": \"%s\", \"batch\": %d, "
          "\"r\": %d, \"step\": \"%s\", \"times\": %d, \"ms\": %.4f}\n",
          model_.name.c_str(), type_name_, images, r, name.c_str(), step.first / kTimes,
          step.second / kTimes * 1e3);
    }
    std::fflush(stdout);
  }

 private:
  void Run(const BenchBatch& batch) const {
    cuda::Message message;
    if (table_.run(session_, &batch.batch(), &batch.results(), &message) != cuda::Code::kOk) {
      Die("run", message.text);
    }
  }

  double TimeOf(const BenchBatch& batch) const {
    constexpr int kTimes = 5;
    std::vector<double> times;
    for (int i = 0; i < kTimes; ++i) {
      const auto begin = SteadyClock::now();
      Run(batch);
      times.push_back(SecondsSince(begin));
    }
    std::ranges::nth_element(times, times.begin() + kTimes / 2);
    return times[kTimes / 2];
  }

  const cuda::Table& table_;
  const NamedModel model_;
  const char* type_name_;
  cuda::Session* session_ = nullptr;
};

void PrintFlops(const NamedModel& model, const std::string& label, int r) {
  std::printf(
      "{\"kind\": \"flops\", \"model\": \"%s\", \"r\": \"%s\", \"constant_r\": %d, "
      "\"gflops\": %.3f}\n",
      model.name.c_str(), label.c_str(), r, Flops(model.model, r) / 1e9);
}

void RunModel(const cuda::Table& table, const NamedModel& model) {
  const int most = MostR(model.model);
  const int half = most / 2;
  PrintFlops(model, "0", 0);
  PrintFlops(model, "half", half);
  PrintFlops(model, "cap", most);
  {
    const Bench bench(table, model, cuda::ElementType::kBFloat16, "bfloat16");
    for (const int images : {1, 8, 64, 256}) {
      bench.Measure("0", std::vector<int>(images, 0));
      bench.Measure("half", std::vector<int>(images, half));
      bench.Measure("cap", std::vector<int>(images, most));
      if (images < 3) continue;
      std::vector<int> mixed;
      for (int i = 0; i < images; ++i) mixed.push_back(i % 3 == 0 ? 0 : i % 3 == 1 ? half : most);
      bench.Measure("mixed", mixed);
    }
    bench.Timeline(64, 0);
    bench.Timeline(64, most);
    bench.Timeline(1, 0);
  }
  for (const int images : {8, 64}) {
    std::printf("{\"kind\": \"gemm_peak\", \"model\": \"%s\", \"batch\": %d, \"tflops\": %.1f}\n",
                model.name.c_str(), images,
                GemmPeak(model.model, images * model.model.tokens()) / 1e12);
    std::fflush(stdout);
  }
  if (model.name != "L/16@224") return;
  const Bench bench(table, model, cuda::ElementType::kFloat32, "float32");
  bench.Measure("0", std::vector<int>(64, 0));
}

int Main(int argc, char** argv) {
  if (argc < 2) Die("usage", "cuda_bench libtome_cuda.so [MODEL...]");
  void* const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) Die("open", dlerror());
  auto* const entry = reinterpret_cast<TomeCudaModuleFunction*>(dlsym(library, "tome_cuda_module"));
  const cuda::Table* table = entry == nullptr ? nullptr : entry(cuda::kModuleVersion);
  if (table == nullptr) Die("open", "a module of another version");
  cuda::DeviceFacts facts;
  cuda::Message message;
  if (table->device_facts(0, &facts, &message) != cuda::Code::kOk) Die("device", message.text);
  std::printf(
      "{\"kind\": \"device\", \"name\": \"%s\", \"compute_capability\": \"%d.%d\", "
      "\"free_gib\": %.1f}\n",
      facts.name, facts.major, facts.minor, static_cast<double>(facts.free_bytes) / (1 << 30));
  const std::vector<std::string> wanted(argv + 2, argv + argc);
  for (const NamedModel& model : BenchModels()) {
    if (!wanted.empty() && std::ranges::find(wanted, model.name) == wanted.end()) continue;
    const auto begin = SteadyClock::now();
    RunModel(*table, model);
    std::fprintf(stderr, "%s took %.1f s\n", model.name.c_str(), SecondsSince(begin));
  }
  return 0;
}

}  // namespace
}  // namespace tome::bench

int main(int argc, char** argv) { return tome::bench::Main(argc, argv); }
