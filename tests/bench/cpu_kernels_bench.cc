// Each CPU kernel for every instruction set, on one thread, against the bound that limits it:
// GFLOP/s beside those of the products of cpu_engine_bench.cc, bytes/s beside those of a copy. The
// shapes are those of a ViT-S/16, 8 images of 197 tokens.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "server/kernels/cpu/attention.h"
#include "server/kernels/cpu/layer_norm.h"
#include "server/kernels/cpu/merge_tokens.h"
#include "server/kernels/cpu/token_match.h"

namespace tome::kernels::cpu {
namespace {

constexpr int kImages = 8;
constexpr int kTokens = 197;
constexpr int kHeads = 6;
constexpr int kHeadSize = 64;
constexpr int kWidth = kHeads * kHeadSize;
constexpr int kRows = kImages * kTokens;
constexpr int kMerges = 16;

// Random numbers of a type, in [-1, 1), aligned.
class Values {
 public:
  Values(ElementType type, size_t count) : words_((count * ElementBytes(type) + 3) / 4 + 16) {
    std::mt19937 random(1);
    for (uint32_t& word : words_) {
      // Sign, exponent and upper fraction bits of both halves: numbers below 1 as either type.
      word = (random() & 0x80ff80ffu) | 0x3f003f00u;
    }
  }
  void* data() {
    const uintptr_t address = reinterpret_cast<uintptr_t>(words_.data());
    return reinterpret_cast<void*>((address + 63) / 64 * 64);
  }
  float* floats() { return static_cast<float*>(data()); }

 private:
  std::vector<uint32_t> words_;
};

std::vector<Segment> Segments(int tokens, int merges) {
  std::vector<Segment> segments;
  for (int i = 0; i < kImages; ++i) {
    segments.push_back({.offset = i * tokens, .tokens = tokens, .merges = merges});
  }
  return segments;
}

void SetFlops(benchmark::State& state, double flops) {
  state.counters["GFLOP/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * flops * 1e-9, benchmark::Counter::kIsRate);
}

void RunAttention(benchmark::State& state, InstructionSet set, ElementType type) {
  const Serial serial;
  Values qkv(type, size_t{kRows} * 3 * kWidth);
  Values out(type, size_t{kRows} * kWidth);
  Values scratch(type, AttentionScratchBytes(kTokens, kHeadSize, 1));
  const std::vector<Segment> segments = Segments(kTokens, 0);
  const auto* q = static_cast<const char*>(qkv.data());
  for (auto _ : state) {
    Attention({.type = type,
               .q = q,
               .k = q + kWidth * ElementBytes(type),
               .v = q + 2 * kWidth * ElementBytes(type),
               .q_stride = 3 * kWidth,
               .k_stride = 3 * kWidth,
               .v_stride = 3 * kWidth,
               .segments = segments,
               .out = out.data(),
               .heads = kHeads,
               .head_size = kHeadSize,
               .scale = 0.125f,
               .scratch = scratch.data()},
              {serial, set});
  }
  SetFlops(state, 4.0 * kImages * kTokens * kTokens * kWidth);
}

struct Lists {
  std::vector<int> own = std::vector<int>(kRows);
  std::vector<int> first = std::vector<int>(kRows);
  std::vector<int> count = std::vector<int>(kRows);
  std::vector<int> source = std::vector<int>(kRows);
  std::vector<int> after = std::vector<int>(kRows);
};

void Match(ElementType type, Values& keys, Values& scratch, Lists& lists, const Compute& compute) {
  const std::vector<Segment> before = Segments(kTokens, kMerges);
  const std::vector<Segment> after = Segments(kTokens - kMerges, 0);
  MatchTokens({.type = type,
               .keys = keys.data(),
               .key_stride = kWidth,
               .heads = kHeads,
               .head_size = kHeadSize,
               .segments = before,
               .segments_after = after,
               .prefix_tokens = 1,
               .scratch = scratch.data(),
               .own_row = lists.own.data(),
               .first_source = lists.first.data(),
               .source_count = lists.count.data(),
               .source_row = lists.source.data(),
               .row_after = lists.after.data()},
              compute);
}

void RunMatch(benchmark::State& state, InstructionSet set, ElementType type) {
  const Serial serial;
  Values keys(type, size_t{kRows} * kWidth);
  Values scratch(type, TokenMatchScratchBytes(kImages, kRows, kHeadSize));
  Lists lists;
  for (auto _ : state) Match(type, keys, scratch, lists, {serial, set});
  SetFlops(state, 2.0 * kImages * (kTokens / 2) * (kTokens / 2) * kHeadSize);
}

void RunMerge(benchmark::State& state, InstructionSet set, ElementType type) {
  const Serial serial;
  Values x(type, size_t{kRows} * kWidth);
  Values x_out(type, size_t{kRows} * kWidth);
  Values normed(type, size_t{kRows} * kWidth);
  Values weight(ElementType::kFloat32, kWidth);
  Values scratch(type, TokenMatchScratchBytes(kImages, kRows, kHeadSize));
  std::vector<float> size_out(kRows);
  std::vector<float> log_size_out(kRows);
  Lists lists;
  Match(type, x, scratch, lists, {serial, set});
  for (auto _ : state) {
    MergeTokens({.type = type,
                 .x = x.data(),
                 .own_row = lists.own.data(),
                 .first_source = lists.first.data(),
                 .source_count = lists.count.data(),
                 .source_row = lists.source.data(),
                 .norm_weight = weight.floats(),
                 .norm_bias = weight.floats(),
                 .epsilon = 1e-6f,
                 .x_out = x_out.data(),
                 .size_out = size_out.data(),
                 .log_size_out = log_size_out.data(),
                 .normed = normed.data(),
                 .rows_out = kRows - kImages * kMerges,
                 .width = kWidth},
                {serial, set});
  }
  state.SetBytesProcessed(state.iterations() * 3 * kRows * kWidth *
                          static_cast<int64_t>(ElementBytes(type)));
}

void RunAddNorm(benchmark::State& state, InstructionSet set, ElementType type) {
  const Serial serial;
  Values x(type, size_t{kRows} * kWidth);
  Values delta(type, size_t{kRows} * kWidth);
  Values out(type, size_t{kRows} * kWidth);
  Values weight(ElementType::kFloat32, kWidth);
  std::memset(delta.data(), 0, size_t{kRows} * kWidth * ElementBytes(type));
  for (auto _ : state) {
    LayerNorm({.type = type,
               .out_type = type,
               .x = x.data(),
               .delta = delta.data(),
               .out = out.data(),
               .weight = weight.floats(),
               .bias = weight.floats(),
               .epsilon = 1e-6f,
               .rows = kRows,
               .width = kWidth},
              {serial, set});
  }
  state.SetBytesProcessed(state.iterations() * 4 * kRows * kWidth *
                          static_cast<int64_t>(ElementBytes(type)));
}

// Reads and writes as many bytes as the tokens of a float32 batch take.
void RunCopy(benchmark::State& state) {
  Values from(ElementType::kFloat32, size_t{kRows} * kWidth);
  Values to(ElementType::kFloat32, size_t{kRows} * kWidth);
  const size_t bytes = size_t{kRows} * kWidth * sizeof(float);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 2 * static_cast<int64_t>(bytes));
}

int Register() {
  benchmark::RegisterBenchmark("copy", RunCopy);
  const auto add = [](const std::string& name, auto run) {
    for (const InstructionSet set : SupportedInstructionSets()) {
      for (const ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
        const std::string full = "kernel/" + name + "/" + InstructionSetName(set) +
                                 (type == ElementType::kFloat32 ? "/float32" : "/bfloat16");
        benchmark::RegisterBenchmark(full.c_str(), run, set, type)->Unit(benchmark::kMicrosecond);
      }
    }
  };
  add("attention", RunAttention);
  add("match", RunMatch);
  add("merge", RunMerge);
  add("add_norm", RunAddNorm);
  return 0;
}

[[maybe_unused]] const int kRegistered = Register();

}  // namespace
}  // namespace tome::kernels::cpu
