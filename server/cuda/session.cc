#include "server/cuda/session.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "server/cuda/failure.h"
#include "server/cuda/supported.h"

namespace tome::cuda {
namespace {

// What CUDA takes beside our own memory: code of kernels, cuBLASLt, graphs.
constexpr uint64_t kCudaItself = uint64_t{512} << 20;

std::string Gigabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

// Before anything is allocated.
Weights LoadWeights(const Model& model, const WeightSource& source, const Options& options,
                    LinearAlgorithms& algorithms) {
  const Memory memory = Session::MemoryOf(model, options);
  size_t free = 0;
  size_t total = 0;
  Check(cudaMemGetInfo(&free, &total), "asking for free memory");
  if (memory.total() + kCudaItself > free) {
    throw Failure(Code::kOutOfMemory, "device " + std::to_string(options.device) + ": a batch of " +
                                          std::to_string(options.max_images) + " images needs " +
                                          Gigabytes(memory.total() + kCudaItself) + " (weights " +
                                          Gigabytes(memory.weights) + ", activations " +
                                          Gigabytes(memory.activations) + ", staging " +
                                          Gigabytes(memory.staging) + ", CUDA itself " +
                                          Gigabytes(kCudaItself) + "), " + Gigabytes(free) +
                                          " of " + Gigabytes(total) + " are free");
  }
  return Weights(model, source, KernelType(options.type), algorithms);
}

Activations Layout(std::byte* memory, const Model& model, const Options& options) {
  Arena arena(memory);
  return {arena, model, KernelType(options.type), options.max_images};
}

size_t RowBytes(const Model& model) { return size_t{3} * model.grid_width * model.patch_size; }

size_t ImageBytes(const Model& model) {
  return RowBytes(model) * model.grid_height * model.patch_size;
}

size_t PixelBytes(const Model& model, const Options& options) {
  Arena arena(nullptr);
  for (int i = 0; i < options.max_concurrent_runs; ++i) {
    arena.TakeBytes(ImageBytes(model) * options.max_images);
  }
  return arena.used();
}

// T to float32.
void ToFloats(const std::vector<std::byte>& elements, kernels::ElementType type, float* floats) {
  const size_t count = elements.size() / kernels::ElementBytes(type);
  switch (type) {
    case kernels::ElementType::kFloat32:
      std::memcpy(floats, elements.data(), elements.size());
      break;
    case kernels::ElementType::kFloat16:
      for (size_t i = 0; i < count; ++i) {
        floats[i] = __half2float(reinterpret_cast<const __half*>(elements.data())[i]);
      }
      break;
    case kernels::ElementType::kBFloat16:
      for (size_t i = 0; i < count; ++i) {
        floats[i] = __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(elements.data())[i]);
      }
      break;
  }
}

// The calling thread's device.
int UseDevice(int device) {
  Check(cudaSetDevice(device), "choosing the device");
  return device;
}

}  // namespace

// A set of staging buffers, taken for one run.
class Session::StagingLease {
 public:
  explicit StagingLease(Session& session) : session_(session) {
    std::unique_lock lock(session.mutex_);
    while (staging_ == nullptr) {
      for (Staging& staging : session.staging_) {
        if (!staging.taken) staging_ = &staging;
      }
      if (staging_ == nullptr) session.staging_is_free_.wait(lock);
    }
    staging_->taken = true;
  }
  ~StagingLease() {
    const std::lock_guard lock(session_.mutex_);
    staging_->taken = false;
    session_.staging_is_free_.notify_one();
  }
  StagingLease(const StagingLease&) = delete;
  StagingLease& operator=(const StagingLease&) = delete;

  Staging& operator*() const { return *staging_; }

 private:
  Session& session_;
  Staging* staging_ = nullptr;
};

Memory Session::MemoryOf(const Model& model, const Options& options) {
  CheckSupported(model, options);
  Arena arena(nullptr);
  const Activations measured(arena, model, KernelType(options.type), options.max_images);
  static_cast<void>(measured);
  return {.weights = Weights::Bytes(model, KernelType(options.type)),
          .activations = arena.used(),
          .staging = PixelBytes(model, options)};
}

Session::Session(const Model& model, const WeightSource& source, const Options& options)
    : device_(UseDevice(options.device)),
      max_images_(options.max_images),
      model_(model),
      image_bytes_(ImageBytes(model)),
      type_(KernelType(options.type)),
      copy_stream_(MakeStream()),
      compute_stream_(MakeStream()),
      weights_(LoadWeights(model, source, options, algorithms_)),
      arena_memory_(AllocateDevice(MemoryOf(model, options).activations)),
      pixels_memory_(AllocateDevice(PixelBytes(model, options))),
      activations_(Layout(arena_memory_.get(), model, options)),
      pass_(model, options, weights_, activations_),
      own_rows_(AllocatePinned(sizeof(int) * max_images_ * model.tokens())),
      description_(algorithms_.Describe()),
      graphs_(options.max_graphs) {
  int* const own_rows = reinterpret_cast<int*>(own_rows_.get());
  std::iota(own_rows, own_rows + ptrdiff_t{max_images_} * model.tokens(), 0);
  Arena pixels(pixels_memory_.get());
  for (int i = 0; i < options.max_concurrent_runs; ++i) {
    Staging& staging = staging_.emplace_back();
    staging.pixels = AllocatePinned(image_bytes_ * max_images_);
    staging.plan = AllocatePinned(PassPlan::UploadBytes(model.blocks, max_images_));
    staging.pooled = AllocatePinned(sizeof(float) * max_images_ * model.token_dim);
    if (model.projection_dim > 0) {
      staging.projected = AllocatePinned(sizeof(float) * max_images_ * model.projection_dim);
    }
    staging.device_pixels = pixels.Take<uint8_t>(image_bytes_ * max_images_);
    staging.copy_begin = MakeEvent();
    staging.copy_end = MakeEvent();
    staging.pass_begin = MakeEvent();
    staging.pass_end = MakeEvent();
  }
}

void Session::CheckBatch(const Batch& batch) const {
  Require(batch.images >= 1 && batch.images <= max_images_,
          "images: " + std::to_string(batch.images) + " is outside [1, " +
              std::to_string(max_images_) + "]");
  for (int image = 0; image < batch.images; ++image) {
    const Pooling pooling = batch.pooling[image];
    const int prefix_needed = pooling == Pooling::kClassToken          ? 1
                              : pooling == Pooling::kMeanOfClassTokens ? 2
                                                                       : 0;
    Require(model_.prefix_tokens >= prefix_needed &&
                (pooling != Pooling::kAttention || model_.attention_pooling),
            "pooling: the model has no tokens or weights for kind " +
                std::to_string(static_cast<int>(pooling)));
  }
}

void Session::Run(const Batch& batch, const Results& results, std::vector<Step>* steps) {
  CheckBatch(batch);
  const PassPlan plan(model_, batch);
  UseDevice(device_);
  const StagingLease lease(*this);
  Staging& staging = *lease;
  CopyIn(batch, staging);
  Enqueue(plan, results, staging, steps);
  Check(cudaEventSynchronize(staging.pass_end.get()), "the pass");
  staging.let_go.reset();
  TakeEmbeddings(plan, staging, results);
  Count(staging);
}

void Session::CopyIn(const Batch& batch, Staging& staging) {
  const size_t row_bytes = RowBytes(model_);
  const size_t row_stride = size_t{3} * model_.image_width;
  std::byte* to = staging.pixels.get();
  for (int i = 0; i < batch.images; ++i) {
    const uint8_t* from = batch.pixels[i];
    if (row_bytes == row_stride) {
      std::memcpy(to, from, image_bytes_);
    } else {
      for (int y = 0; y < model_.grid_height * model_.patch_size; ++y) {
        std::memcpy(to + y * row_bytes, from + y * row_stride, row_bytes);
      }
    }
    to += image_bytes_;
  }
  Check(cudaEventRecord(staging.copy_begin.get(), copy_stream_.get()), "copying pixels");
  Check(cudaMemcpyAsync(staging.device_pixels, staging.pixels.get(), image_bytes_ * batch.images,
                        cudaMemcpyHostToDevice, copy_stream_.get()),
        "copying pixels");
  Check(cudaEventRecord(staging.copy_end.get(), copy_stream_.get()), "copying pixels");
}

void Session::Enqueue(const PassPlan& plan, const Results& results, Staging& staging,
                      std::vector<Step>* steps) {
  const size_t plan_bytes = plan.upload().size_bytes();
  std::memcpy(staging.plan.get(), plan.upload().data(), plan_bytes);
  cudaStream_t const stream = compute_stream_.get();

  const std::lock_guard lock(compute_mutex_);
  Check(cudaStreamWaitEvent(stream, staging.copy_end.get(), 0), "waiting for pixels");
  Check(cudaEventRecord(staging.pass_begin.get(), stream), "starting the pass");
  StepTimer timer = steps != nullptr ? StepTimer::On(stream) : StepTimer::Off();
  Check(cudaMemcpyAsync(activations_.segments, staging.plan.get(), plan_bytes,
                        cudaMemcpyHostToDevice, stream),
        "copying the plan");
  if (plan.want_merge_map()) {
    Check(cudaMemcpyAsync(activations_.group, own_rows_.get(), sizeof(int) * plan.packed_tokens(0),
                          cudaMemcpyHostToDevice, stream),
          "starting the merge map");
  }
  pass_.ReadPixels(staging.device_pixels, plan.images(), stream, timer);
  RunPass(plan, timer, steps == nullptr, staging);
  Check(cudaMemcpyAsync(staging.pooled.get(), activations_.pooled,
                        sizeof(float) * plan.images() * model_.token_dim, cudaMemcpyDeviceToHost,
                        stream),
        "copying embeddings");
  if (model_.projection_dim > 0) {
    Check(cudaMemcpyAsync(staging.projected.get(), activations_.projected,
                          sizeof(float) * plan.images() * model_.projection_dim,
                          cudaMemcpyDeviceToHost, stream),
          "copying embeddings");
  }
  Check(cudaEventRecord(staging.pass_end.get(), stream), "ending the pass");
  // The next pass would overwrite these, so the run waits for them here.
  if (plan.want_tokens() || plan.want_merge_map()) CopyTokensAndMap(plan, results);
  if (steps != nullptr) {
    Check(cudaStreamSynchronize(stream), "the pass");
    *steps = timer.Steps();
  }
}

// A plan that comes again becomes a graph; its pass is then one launch.
void Session::RunPass(const PassPlan& plan, StepTimer& timer, bool may_replay, Staging& staging) {
  cudaStream_t const stream = compute_stream_.get();
  const GraphKey key = plan.Key();
  cudaGraphExec_t graph = may_replay ? graphs_.Find(key) : nullptr;
  const bool replayed = graph != nullptr;
  if (may_replay && !replayed && graphs_.ComesAgain(key)) {
    GraphCapture capture(stream);
    pass_.Run(plan, stream, timer);
    staging.let_go = graphs_.Add(key, capture.Finish());
    graph = graphs_.Find(key);
  }
  if (graph != nullptr) {
    Check(cudaGraphLaunch(graph, stream), "launching a graph");
  } else {
    pass_.Run(plan, stream, timer);
  }
  const std::lock_guard lock(mutex_);
  ++(replayed ? statistics_.graph_runs : statistics_.eager_runs);
}

void Session::CopyTokensAndMap(const PassPlan& plan, const Results& results) {
  cudaStream_t const stream = compute_stream_.get();
  const int rows = plan.packed_tokens(plan.blocks());
  const size_t elements = static_cast<size_t>(rows) * model_.token_dim;
  std::vector<std::byte> raw;
  if (plan.want_tokens() && model_.norm_after_pooling) {
    raw.resize(elements * kernels::ElementBytes(type_));
    Check(
        cudaMemcpyAsync(raw.data(), activations_.wide, raw.size(), cudaMemcpyDeviceToHost, stream),
        "copying tokens");
  } else if (plan.want_tokens()) {
    Check(cudaMemcpyAsync(results.tokens, activations_.wide, sizeof(float) * elements,
                          cudaMemcpyDeviceToHost, stream),
          "copying tokens");
  }
  if (plan.want_merge_map() && plan.AnyMerges()) {
    Check(cudaMemcpyAsync(results.sizes, activations_.final_size, sizeof(float) * rows,
                          cudaMemcpyDeviceToHost, stream),
          "copying sizes");
  } else if (plan.want_merge_map()) {
    std::fill_n(results.sizes, rows, 1.0f);
  }
  if (plan.want_merge_map()) {
    Check(cudaMemcpyAsync(results.groups, activations_.group, sizeof(int) * plan.packed_tokens(0),
                          cudaMemcpyDeviceToHost, stream),
          "copying the merge map");
  }
  Check(cudaStreamSynchronize(stream), "the pass");
  if (!raw.empty()) ToFloats(raw, type_, results.tokens);
}

void Session::TakeEmbeddings(const PassPlan& plan, const Staging& staging,
                             const Results& results) const {
  for (const PoolingGroup& group : plan.groups()) {
    const bool projected = model_.IsProjected(group.pooling);
    const std::byte* from = projected ? staging.projected.get() : staging.pooled.get();
    const size_t bytes = sizeof(float) * model_.embedding_dim(group.pooling);
    for (int i = group.first; i < group.first + group.images; ++i) {
      std::memcpy(results.embeddings[plan.pooling_order()[i]], from + i * bytes, bytes);
    }
  }
}

void Session::Count(Staging& staging) {
  float copy = 0;
  float pass = 0;
  Check(cudaEventElapsedTime(&copy, staging.copy_begin.get(), staging.copy_end.get()),
        "reading the copy's time");
  Check(cudaEventElapsedTime(&pass, staging.pass_begin.get(), staging.pass_end.get()),
        "reading the pass's time");
  const std::lock_guard lock(mutex_);
  statistics_.copy_seconds += copy / 1000.0;
  statistics_.pass_seconds += pass / 1000.0;
}

Statistics Session::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

}  // namespace tome::cuda
