// Each kernel's time against the bound that limits it: the bytes it must move over the bandwidth of
// a device copy, or its floating-point operations over the rate of cuBLASLt's product, both
// measured in the same run. One table; bfloat16, r = 8. Inputs rotate, so that none is found in the
// L2 cache.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "server/kernels/activation.h"
#include "server/kernels/assemble_tokens.h"
#include "server/kernels/attention.h"
#include "server/kernels/attention_plan.h"
#include "server/kernels/layer_norm.h"
#include "server/kernels/merge_tokens.h"
#include "server/kernels/patch_rows.h"
#include "server/kernels/pool.h"
#include "server/kernels/token_match.h"
#include "tests/bench/device_rates.h"

namespace tome::kernels {
namespace {

constexpr ElementType kType = ElementType::kBFloat16;
constexpr int64_t kElement = 2;
constexpr int64_t kRotated = int64_t{256} << 20;  // bytes that one round over the sets touches

int Sets(int64_t bytes) { return static_cast<int>(std::clamp<int64_t>(kRotated / bytes, 2, 16)); }

struct Vit {
  const char* name;
  int images;
  int tokens;  // class token included
  int heads;
  int head_size;
  int merges;

  int width() const { return heads * head_size; }
  int64_t rows() const { return int64_t{1} * images * tokens; }
};

class Bench {
 public:
  Bench()
      : bytes_per_us_(MeasureBandwidth(memory_)),
        flops_per_us_(MeasureProduct(memory_, 12608, 1024, 4096)) {
    std::printf("device copy %.2f TB/s, bfloat16 product %.0f TFLOP/s\n", bytes_per_us_ / 1e6,
                flops_per_us_ / 1e6);
    std::printf("%-24s %-10s %9s %9s %6s\n", "kernel", "shape", "us", "floor us", "floor%");
  }

  void Run(const Vit& vit) {
    vit_ = vit;
    std::vector<Segment> segments;
    std::vector<Segment> after;
    for (int i = 0; i < vit.images; ++i) {
      segments.push_back({i * vit.tokens, vit.tokens, vit.merges});
      after.push_back({i * (vit.tokens - vit.merges), vit.tokens - vit.merges, 0});
    }
    segments_ = memory_.Upload(segments);
    segments_after_ = memory_.Upload(after);
    weight_ = memory_.Upload(std::vector<float>(vit.width() * 4, 1.5f));
    bias_ = memory_.Upload(std::vector<float>(vit.width() * 4, 0.5f));
    sizes_ = memory_.Upload(std::vector<float>(vit.rows(), 1));
    log_sizes_ = memory_.Upload(std::vector<float>(vit.rows(), 0));
    Input();
    Norm();
    Attend();
    Merge();
    Activations();
    PoolPatches();
    memory_.Free();
  }

 private:
  void Report(const std::string& kernel, double time, double bytes, double flops = 0) {
    const double floor = std::max(bytes / bytes_per_us_, flops / flops_per_us_);
    std::printf("%-24s %-10s %9.1f %9.1f %5.0f%%\n", kernel.c_str(), vit_.name, time, floor,
                100 * floor / time);
  }

  void Input() {
    const int patches = vit_.tokens - 1;
    const int side = patches == 576 ? 24 : patches == 256 ? 16 : 14;
    const int patch = patches == 196 ? 16 : 14;
    const int stride = (3 * patch * patch + 7) / 8 * 8;
    const int64_t pixel_bytes = int64_t{3} * vit_.images * side * side * patch * patch;
    const int64_t row_bytes = int64_t{1} * vit_.images * patches * stride * kElement;
    const int sets = Sets(pixel_bytes + row_bytes);
    const auto pixels = memory_.Buffers(sets, pixel_bytes);
    const auto rows = memory_.Buffers(sets, row_bytes);
    Report("patch_rows",
           Time(sets,
                [&](int set) {
                  Check(PatchRows({.type = kType,
                                   .pixels = reinterpret_cast<const uint8_t*>(pixels[set]),
                                   .rows = rows[set],
                                   .images = vit_.images,
                                   .height = side * patch,
                                   .width = side * patch,
                                   .patch_size = patch,
                                   .row_stride = stride,
                                   .scale = {0.01f, 0.01f, 0.01f},
                                   .shift = {-2, -2, -2}},
                                  nullptr),
                        "patch_rows");
                }),
           static_cast<double>(pixel_bytes + row_bytes));
    const auto x = memory_.Buffers(sets, vit_.rows() * vit_.width() * kElement);
    const auto embeddings = memory_.Buffers(sets, vit_.rows() * vit_.width() * kElement);
    const auto* position = reinterpret_cast<const float*>(
        memory_.Buffers(1, int64_t{4} * vit_.tokens * vit_.width())[0]);
    Report("assemble_tokens",
           Time(sets,
                [&](int set) {
                  Check(AssembleTokens({.type = kType,
                                        .patch_embeddings = embeddings[set],
                                        .prefix = bias_,
                                        .position = position,
                                        .x = x[set],
                                        .images = vit_.images,
                                        .patches = patches,
                                        .prefix_tokens = 1,
                                        .width = vit_.width()},
                                       nullptr),
                        "assemble_tokens");
                }),
           2.0 * static_cast<double>(vit_.rows() * vit_.width() * kElement));
  }

  void Norm() {
    const int64_t bytes = vit_.rows() * vit_.width() * kElement;
    const int sets = Sets(2 * bytes);
    const auto x = memory_.Buffers(sets, bytes);
    const auto out = memory_.Buffers(sets, bytes);
    Report("layer_norm",
           Time(sets,
                [&](int set) {
                  Check(LayerNorm({.type = kType,
                                   .out_type = kType,
                                   .x = x[set],
                                   .out = out[set],
                                   .weight = weight_,
                                   .bias = bias_,
                                   .epsilon = 1e-6f,
                                   .rows = static_cast<int>(vit_.rows()),
                                   .width = vit_.width()},
                                  nullptr),
                        "layer_norm");
                }),
           2.0 * static_cast<double>(bytes));
  }

  void Attend() {
    const int64_t bytes = vit_.rows() * vit_.width() * kElement;
    const int sets = Sets(4 * bytes);
    const auto qkv = memory_.Buffers(sets, 3 * bytes);
    const auto out = memory_.Buffers(sets, bytes);
    AttentionArgs args = {.type = kType,
                          .q_stride = 3 * vit_.width(),
                          .k_stride = 3 * vit_.width(),
                          .v_stride = 3 * vit_.width(),
                          .segments = segments_,
                          .images = vit_.images,
                          .max_tokens = vit_.tokens,
                          .heads = vit_.heads,
                          .head_size = vit_.head_size,
                          .scale = 0.125f};
    const double pairs = static_cast<double>(vit_.rows()) * vit_.tokens;
    const auto run = [&](const char* name, const AttentionPlan* plan) {
      Report(
          name,
          Time(sets,
               [&](int set) {
                 args.q = qkv[set];
                 args.k = qkv[set] + vit_.width() * kElement;
                 args.v = qkv[set] + 2 * vit_.width() * kElement;
                 args.out = out[set];
                 Check(plan == nullptr ? Attention(args, nullptr) : Attention(args, *plan, nullptr),
                       name);
               }),
          4.0 * static_cast<double>(bytes), 4 * pairs * vit_.width());
    };
    run("attention", nullptr);
    args.log_size = log_sizes_;
    run("attention, log size", nullptr);
    args.log_size = nullptr;
    const AttentionPlan tiled =
        PlanAttention(args, {.multiprocessors = 1, .shared_bytes_per_block = 0});
    run("attention, tiled", &tiled);
    args.queries = Queries::kFirstRows;
    args.query_rows = 1;
    const double keys = 2.0 * static_cast<double>(bytes);
    Report("attention, class token",
           Time(sets,
                [&](int set) {
                  args.q = qkv[set];
                  args.k = qkv[set] + vit_.width() * kElement;
                  args.v = qkv[set] + 2 * vit_.width() * kElement;
                  args.out = out[set];
                  Check(Attention(args, nullptr), "attention");
                }),
           keys);
  }

  void Merge() {
    const int64_t rows_out = vit_.rows() - int64_t{1} * vit_.images * vit_.merges;
    const int64_t bytes_in = vit_.rows() * vit_.width() * kElement;
    const int64_t bytes_out = rows_out * vit_.width() * kElement;
    const int sets = Sets(bytes_in + 2 * bytes_out);
    const auto qkv = memory_.Buffers(sets, 3 * bytes_in);
    const auto x = memory_.Buffers(sets, bytes_in);
    const auto x_out = memory_.Buffers(sets, bytes_out);
    const auto normed = memory_.Buffers(sets, bytes_out);
    char* workspace = memory_.Buffers(1, static_cast<int64_t>(TokenMatchWorkspaceBytes(
                                             static_cast<int>(vit_.rows()), vit_.head_size)))[0];
    int* lists[5];
    for (int*& list : lists) list = memory_.Upload(std::vector<int>(vit_.rows()));
    auto* size_out = memory_.Upload(std::vector<float>(vit_.rows()));
    auto* log_size_out = memory_.Upload(std::vector<float>(vit_.rows()));
    Report("match_tokens",
           Time(sets,
                [&](int set) {
                  Check(MatchTokens({.type = kType,
                                     .keys = qkv[set] + vit_.width() * kElement,
                                     .key_stride = 3 * vit_.width(),
                                     .heads = vit_.heads,
                                     .head_size = vit_.head_size,
                                     .segments = segments_,
                                     .segments_after = segments_after_,
                                     .images = vit_.images,
                                     .max_tokens = vit_.tokens,
                                     .packed_tokens = static_cast<int>(vit_.rows()),
                                     .prefix_tokens = 1,
                                     .workspace = workspace,
                                     .own_row = lists[0],
                                     .first_source = lists[1],
                                     .source_count = lists[2],
                                     .source_row = lists[3],
                                     .row_after = lists[4]},
                                    nullptr),
                        "match_tokens");
                }),
           static_cast<double>(bytes_in));
    Report("merge_tokens",
           Time(sets,
                [&](int set) {
                  Check(MergeTokens({.type = kType,
                                     .x = x[set],
                                     .size = sizes_,
                                     .own_row = lists[0],
                                     .first_source = lists[1],
                                     .source_count = lists[2],
                                     .source_row = lists[3],
                                     .norm_weight = weight_,
                                     .norm_bias = bias_,
                                     .epsilon = 1e-6f,
                                     .x_out = x_out[set],
                                     .size_out = size_out,
                                     .log_size_out = log_size_out,
                                     .normed = normed[set],
                                     .rows_out = static_cast<int>(rows_out),
                                     .width = vit_.width()},
                                    nullptr),
                        "merge_tokens");
                }),
           static_cast<double>(bytes_in + 2 * bytes_out));
  }

  void Activations() {
    const int width = 4 * vit_.width();
    const int64_t bytes = vit_.rows() * width * kElement;
    const int sets = Sets(bytes);
    const auto in = memory_.Buffers(sets, bytes);
    const auto out = memory_.Buffers(sets, bytes);
    const auto run = [&](const char* name, ActivationKind kind) {
      const bool gated = kind == ActivationKind::kSwiGlu;
      Report(name,
             Time(sets,
                  [&](int set) {
                    Check(Activation({.type = kType,
                                      .kind = kind,
                                      .in = in[set],
                                      .out = out[set],
                                      .rows = static_cast<int>(vit_.rows()),
                                      .width = gated ? width / 2 : width},
                                     nullptr),
                          name);
                  }),
             static_cast<double>(bytes) * (gated ? 1.5 : 2));
    };
    run("gelu", ActivationKind::kGelu);
    run("gelu_tanh", ActivationKind::kGeluTanh);
    run("quick_gelu", ActivationKind::kQuickGelu);
    run("swiglu", ActivationKind::kSwiGlu);
  }

  void PoolPatches() {
    const int64_t bytes = vit_.rows() * vit_.width() * kElement;
    const int sets = Sets(bytes);
    const auto x = memory_.Buffers(sets, bytes);
    auto* out = memory_.Upload(std::vector<float>(size_t{1} * vit_.images * vit_.width()));
    Report("pool, mean of patches",
           Time(sets,
                [&](int set) {
                  Check(Pool({.type = kType,
                              .pooling = Pooling::kMeanOfPatches,
                              .norm = PoolNorm::kBefore,
                              .x = x[set],
                              .size = sizes_,
                              .segments = segments_,
                              .norm_weight = weight_,
                              .norm_bias = bias_,
                              .epsilon = 1e-6f,
                              .out = out,
                              .images = vit_.images,
                              .prefix_tokens = 1,
                              .width = vit_.width()},
                             nullptr),
                        "pool");
                }),
           static_cast<double>(bytes));
  }

  Memory memory_;
  double bytes_per_us_;
  double flops_per_us_;
  Vit vit_ = {};
  const Segment* segments_ = nullptr;
  const Segment* segments_after_ = nullptr;
  const float* weight_ = nullptr;
  const float* bias_ = nullptr;
  const float* sizes_ = nullptr;
  const float* log_sizes_ = nullptr;
};

}  // namespace
}  // namespace tome::kernels

int main() {
  tome::kernels::Bench bench;
  bench.Run({"L/16 x64", 64, 197, 16, 64, 8});
  bench.Run({"B/16 x64", 64, 197, 12, 64, 8});
  bench.Run({"B/16 x1", 1, 197, 12, 64, 8});
  bench.Run({"H/14 x64", 64, 257, 16, 80, 8});
  bench.Run({"L/14@336x16", 16, 577, 16, 64, 23});
  return 0;
}
