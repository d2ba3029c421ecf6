// The CPU engine as the server runs it, for cpu_peers.py: one checkpoint, timed batch by batch as
// the lines on standard input ask, so that peers can be timed between them.
//
//   tome_engine_worker CHECKPOINT DTYPE THREADS PIXELS
//
// PIXELS is a file of images of the model's input size, uint8, one behind the other. Each line
// gets one line of JSON:
//   embed                     the embedding of the first image at r = 0
//   time BATCH SECONDS R...   passes over BATCH images, whose schedules are R in turn: 8, or
//                             falling:8, which is linear with mean 8 and inflection -1

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "server/engine/torch_engine.h"
#include "server/merge/flops.h"
#include "server/merge/merge_schedule.h"

namespace tome {
namespace {

using Seconds = std::chrono::duration<double>;

class Worker {
 public:
  Worker(std::unique_ptr<Engine> engine, std::string pixels)
      : engine_(std::move(engine)), pixels_(std::move(pixels)) {
    const Preprocessing& input = engine_->facts().preprocessing;
    image_bytes_ = size_t{3} * input.crop_height * input.crop_width;
  }

  size_t images() const { return pixels_.size() / image_bytes_; }

  // The answer to a line, or nothing for one that is not understood.
  std::string Answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "embed") return Embed();
    int batch = 0;
    double seconds = 0.0;
    if (command != "time" || !(words >> batch >> seconds) || batch < 1) return "";
    std::vector<std::vector<int>> schedules;
    for (std::string r; words >> r;) {
      absl::string_view number = r;
      const bool falling = absl::ConsumePrefix(&number, "falling:");
      int value = 0;
      if (!absl::SimpleAtoi(number, &value) || !MergeSchedule::IsValidR(value)) return "";
      const MergeSchedule schedule =
          falling ? MergeSchedule(MergeSchedule::Linear{.mean_r = value, .inflection = -1.0})
                  : MergeSchedule(MergeSchedule::Constant{value});
      schedules.push_back(schedule.PerBlockMerges(engine_->facts().blocks));
    }
    return schedules.empty() ? "" : Time(batch, seconds, schedules);
  }

 private:
  std::vector<absl::StatusOr<EmbeddedImage>> Run(int batch,
                                                 const std::vector<std::vector<int>>& schedules) {
    std::vector<EngineImage> images;
    for (int i = 0; i < batch; ++i) {
      const char* pixels = pixels_.data() + (i % this->images()) * image_bytes_;
      images.push_back({.pixels = {reinterpret_cast<const uint8_t*>(pixels), image_bytes_},
                        .merges_per_block = schedules[i % schedules.size()]});
    }
    return engine_->Run(images);
  }

  std::string Embed() {
    const auto embedded = Run(1, {std::vector<int>(engine_->facts().blocks)});
    if (!embedded[0].ok())
      return absl::StrCat(R"({"error": ")", embedded[0].status().message(), R"("})");
    return absl::StrCat(R"({"embedding": [)", absl::StrJoin(embedded[0]->embedding, ", "), "]}");
  }

  std::string Time(int batch, double seconds, const std::vector<std::vector<int>>& schedules) {
    const ModelFacts& facts = engine_->facts();
    double flops = 0.0;
    for (const auto& embedded : Run(batch, schedules)) {
      if (!embedded.ok())
        return absl::StrCat(R"({"error": ")", embedded.status().message(), R"("})");
      flops += BlockFlops(facts.block_shape, facts.tokens(), embedded->merged_per_block);
    }
    std::vector<double> passes;
    double sum = 0.0;
    while (sum < seconds || passes.size() < 2) {
      const auto begin = std::chrono::steady_clock::now();
      Run(batch, schedules);
      passes.push_back(Seconds(std::chrono::steady_clock::now() - begin).count());
      sum += passes.back();
    }
    std::sort(passes.begin(), passes.end());
    const size_t middle = passes.size() / 2;
    const double median =
        passes.size() % 2 == 1 ? passes[middle] : (passes[middle - 1] + passes[middle]) / 2;
    const double whole =
        batch * BlockFlops(facts.block_shape, facts.tokens(), std::vector<int>(facts.blocks));
    return absl::StrCat(R"({"pass_seconds": )", median, R"(, "passes": )", passes.size(),
                        R"(, "gflops": )", flops * 1e-9, R"(, "gflops_unmerged": )", whole * 1e-9,
                        "}");
  }

  const std::unique_ptr<Engine> engine_;
  const std::string pixels_;
  size_t image_bytes_ = 0;
};

int Main(int argc, char** argv) {
  int threads = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[3], &threads) || threads < 1) {
    std::cerr << "usage: tome_engine_worker CHECKPOINT DTYPE THREADS PIXELS\n";
    return 2;
  }
  auto engine =
      LoadTorchEngine({.directory = argv[1], .dtype = argv[2], .compute_threads = threads});
  if (!engine.ok()) {
    std::cerr << "tome_engine_worker: " << engine.status().message() << "\n";
    return 1;
  }
  std::ifstream file(argv[4], std::ios::binary);
  Worker worker(*std::move(engine),
                {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  if (worker.images() == 0) {
    std::cerr << "tome_engine_worker: " << argv[4] << " holds no image of the model's input size\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const std::string answer = worker.Answer(line);
    if (answer.empty()) {
      std::cerr << "tome_engine_worker: '" << line << "' is no command\n";
      return 2;
    }
    std::cout << answer << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace tome

int main(int argc, char** argv) { return tome::Main(argc, argv); }
