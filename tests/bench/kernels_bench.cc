// Each kernel's time against the bound that limits it: the bytes it must move over the bandwidth of
// a device copy, or its floating-point operations over the rate of cuBLASLt's product, both
// measured in the same run. One table; bfloat16, r = 8. Inputs rotate, so that none is found in the
// L2 cache.

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
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

namespace tome::kernels {
namespace {

constexpr ElementType kType = ElementType::kBFloat16;
constexpr int64_t kElement = 2;
constexpr int64_t kRotated = int64_t{256} << 20;  // bytes that one round over the sets touches

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}
void Check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s: cuBLAS status %d\n", what, static_cast<int>(status));
  std::exit(1);
}

// Device memory for the whole run, filled with normal bfloat16 values.
class Memory {
 public:
  Memory() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<__nv_bfloat16> values(size_t{1} << 22);
    for (__nv_bfloat16& value : values) value = __float2bfloat16_rn(normal(random));
    Check(cudaMalloc(&values_, kValues), "cudaMalloc");
    Check(cudaMemcpy(values_, values.data(), kValues, cudaMemcpyHostToDevice), "upload");
  }

  // One buffer of `bytes` a set.
  std::vector<char*> Buffers(int sets, int64_t bytes) {
    std::vector<char*> buffers(sets);
    for (char*& buffer : buffers) {
      void* pointer = nullptr;
      Check(cudaMalloc(&pointer, bytes), "cudaMalloc");
      buffer = static_cast<char*>(pointer);
      taken_.push_back(pointer);
      for (int64_t at = 0; at < bytes; at += kValues) {
        Check(cudaMemcpy(buffer + at, values_, std::min<int64_t>(kValues, bytes - at),
                         cudaMemcpyDeviceToDevice),
              "fill");
      }
    }
    return buffers;
  }
  template <typename T>
  T* Upload(const std::vector<T>& values) {
    char* to = Buffers(1, static_cast<int64_t>(values.size() * sizeof(T)))[0];
    Check(cudaMemcpy(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
          "upload");
    return reinterpret_cast<T*>(to);
  }
  void Free() {
    for (void* pointer : taken_) Check(cudaFree(pointer), "cudaFree");
    taken_.clear();
  }

 private:
  static constexpr int64_t kValues = int64_t{1} << 23;
  void* values_ = nullptr;
  std::vector<void*> taken_;
};

// Median time of one call in microseconds; `launch` gets the number of the set to use.
double Time(int sets, const std::function<void(int)>& launch) {
  constexpr int kRounds = 7;
  constexpr int kCalls = 20;
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  std::vector<double> times;
  int set = 0;
  for (int round = -1; round < kRounds; ++round) {  // the first to warm up
    Check(cudaEventRecord(begin), "event");
    for (int call = 0; call < kCalls; ++call) launch(set++ % sets);
    Check(cudaEventRecord(end), "event");
    Check(cudaEventSynchronize(end), "kernel");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (round >= 0) times.push_back(1e3 * milliseconds / kCalls);
  }
  Check(cudaEventDestroy(begin), "event");
  Check(cudaEventDestroy(end), "event");
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

int Sets(int64_t bytes) { return static_cast<int>(std::clamp<int64_t>(kRotated / bytes, 2, 16)); }

// Bytes a microsecond, read and written.
double MeasureBandwidth(Memory& memory) {
  const int64_t bytes = int64_t{512} << 20;
  const std::vector<char*> buffers = memory.Buffers(2, bytes);
  const double time = Time(1, [&](int) {
    Check(cudaMemcpyAsync(buffers[1], buffers[0], bytes, cudaMemcpyDeviceToDevice), "copy");
  });
  memory.Free();
  return 2.0 * static_cast<double>(bytes) / time;
}

// Floating-point operations a microsecond of a bfloat16 product [rows, inputs] x [inputs, outputs].
double MeasureProduct(Memory& memory, int rows, int inputs, int outputs) {
  const char* a = memory.Buffers(1, int64_t{1} * rows * inputs * kElement)[0];
  const char* b = memory.Buffers(1, int64_t{1} * outputs * inputs * kElement)[0];
  char* c = memory.Buffers(1, int64_t{1} * rows * outputs * kElement)[0];
  const size_t workspace_bytes = size_t{32} << 20;
  char* workspace = memory.Buffers(1, static_cast<int64_t>(workspace_bytes))[0];
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t layouts[3];
  cublasLtMatmulPreference_t preference = nullptr;
  Check(cublasLtCreate(&handle), "cublasLtCreate");
  Check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
  const cublasOperation_t transposed = CUBLAS_OP_T;
  Check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof(transposed)),
        "product");
  Check(cublasLtMatrixLayoutCreate(&layouts[0], CUDA_R_16BF, inputs, outputs, inputs), "layout");
  Check(cublasLtMatrixLayoutCreate(&layouts[1], CUDA_R_16BF, inputs, rows, inputs), "layout");
  Check(cublasLtMatrixLayoutCreate(&layouts[2], CUDA_R_16BF, outputs, rows, outputs), "layout");
  Check(cublasLtMatmulPreferenceCreate(&preference), "preference");
  Check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace_bytes, sizeof(workspace_bytes)),
        "preference");
  cublasLtMatmulHeuristicResult_t algorithm = {};
  int found = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(handle, product, layouts[0], layouts[1], layouts[2],
                                       layouts[2], preference, 1, &algorithm, &found),
        "algorithm");
  const float one = 1;
  const float zero = 0;
  const double time = Time(1, [&](int) {
    Check(cublasLtMatmul(handle, product, &one, b, layouts[0], a, layouts[1], &zero, c, layouts[2],
                         c, layouts[2], &algorithm.algo, workspace, workspace_bytes, nullptr),
          "product");
  });
  cublasLtMatmulPreferenceDestroy(preference);
  for (cublasLtMatrixLayout_t layout : layouts) cublasLtMatrixLayoutDestroy(layout);
  cublasLtMatmulDescDestroy(product);
  cublasLtDestroy(handle);
  memory.Free();
  return 2.0 * rows * inputs * outputs / time;
}

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
