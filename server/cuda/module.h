#ifndef TOME_SERVER_CUDA_MODULE_H_
#define TOME_SERVER_CUDA_MODULE_H_

#include <cstddef>
#include <cstdint>

#include "server/merge/merge_plan.h"

// The door of libtome_cuda.so: one table of functions over plain data, looked up by name after
// dlopen, so that a server that never opens the module needs nothing of CUDA. Nothing is thrown
// through it. All pointers are to host memory; what is passed in is read during the call only.

namespace tome::cuda {

// Of this file: the module gives its table only to a caller that was compiled with the same one.
inline constexpr int kModuleVersion = 1;

enum class Code : int32_t {
  kOk = 0,
  kInvalidArgument,  // a value that this engine does not support; the message names it
  kOutOfMemory,      // the device has not enough; the message says how much
  kFailed,           // this call failed, the next may not
  kDeviceLost,       // the device or this process's use of it is gone: nothing works any more
};

struct Message {
  char text[512];  // one line, ends with 0; empty after kOk
};

struct DeviceFacts {
  char name[256];     // "NVIDIA H100 80GB HBM3"
  char bus_id[32];    // "0000:18:00.0", by which NVML knows it
  int32_t major = 0;  // compute capability
  int32_t minor = 0;
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
};

enum class ElementType : int32_t { kFloat32, kFloat16, kBFloat16 };
enum class Activation : int32_t { kGelu, kGeluTanh, kQuickGelu, kSwiGlu };
enum class Pooling : int32_t { kClassToken, kMeanOfClassTokens, kMeanOfPatches, kAttention };

// A vision transformer. LayerScale is folded into the weights already.
struct Model {
  int32_t image_height = 0;  // pixels beyond the last whole patch are left out
  int32_t image_width = 0;
  int32_t patch_size = 0;
  int32_t grid_height = 0;
  int32_t grid_width = 0;
  int32_t prefix_tokens = 0;
  int32_t token_dim = 0;  // D
  int32_t mlp_hidden_dim = 0;
  int32_t heads = 0;
  int32_t blocks = 0;
  // Width of an embedding behind the projection; 0: there is none. A mean of patches is never
  // projected.
  int32_t projection_dim = 0;
  float norm_epsilon = 0;
  Activation activation = Activation::kGelu;
  bool attention_pooling = false;  // its weights are there
  bool norm_before_blocks = false;
  bool norm_after_pooling = false;
  bool proportional_attention = true;
  float pixel_scale[3] = {};  // a pixel p enters as p * scale + shift
  float pixel_shift[3] = {};

  int32_t tokens() const { return prefix_tokens + grid_height * grid_width; }
  bool IsProjected(Pooling pooling) const {
    return projection_dim > 0 && pooling != Pooling::kMeanOfPatches;
  }
  int32_t embedding_dim(Pooling pooling) const {
    return IsProjected(pooling) ? projection_dim : token_dim;
  }
};

// The parts of its weights; a linear layer y = x W^T + b has a weight [outputs, inputs] and a bias
// [outputs], a norm a weight and a bias [D], everything else a weight alone.
enum class Part : int32_t {
  kPatchEmbedding,       // 3 * patch_size^2, by channel, row, column -> D
  kPrefixTokens,         // [prefix_tokens, D], position embedding added
  kPositionEmbedding,    // [grid_height * grid_width, D]
  kNormBeforeBlocks,     // if norm_before_blocks
  kNorm1,                // of a block, as the following
  kQkv,                  // D -> 3 D: queries, keys, values, each by head
  kAttentionProjection,  // D -> D
  kNorm2,
  kFc1,  // D -> mlp_hidden_dim; of kSwiGlu twice that, gate first
  kFc2,  // mlp_hidden_dim -> D
  kFinalNorm,
  kProjection,  // D -> projection_dim, if there is one
  // Of attention_pooling: y = projection(attention of the query to all tokens), then
  // y + fc2(activation(fc1(norm(y)))). The activation of a kSwiGlu model is kGelu here.
  kPoolQuery,       // [D], by head
  kPoolKeyValue,    // D -> 2 D
  kPoolProjection,  // D -> D
  kPoolNorm,
  kPoolFc1,  // D -> mlp_hidden_dim
  kPoolFc2,  // mlp_hidden_dim -> D
};

// Where Load gets the weights from, a part at a time, so that a model is never whole on the host.
struct WeightSource {
  void* context = nullptr;
  // Writes the part's values, float32, row-major; bias is null and bias_count 0 where there is
  // none. False if the part does not have that many.
  bool (*read)(void* context, Part part, int32_t block, float* weight, size_t weight_count,
               float* bias, size_t bias_count) = nullptr;
};

struct Options {
  int32_t device = 0;
  ElementType type = ElementType::kFloat32;
  int32_t max_images = 1;  // of a batch: memory is sized by it once, at load
  int32_t max_concurrent_runs =
      1;                   // Run calls at the same time: copies of one overlap another's pass
  int32_t max_graphs = 0;  // plans kept as CUDA graphs; 0: none
};

// Device memory in bytes.
struct Memory {
  uint64_t weights = 0;
  uint64_t activations = 0;  // the pass's arena
  uint64_t staging = 0;      // pixels on their way in
  uint64_t total() const { return weights + activations + staging; }
};

struct Batch {
  int32_t images = 0;
  const Segment* segments = nullptr;       // [blocks + 1, images], a MergePlan's
  const uint8_t* const* pixels = nullptr;  // [images], each [image_height, image_width, 3]
  const Pooling* pooling = nullptr;        // [images]
  bool want_tokens = false;
  bool want_merge_map = false;
};

// Where a run's results go.
struct Results {
  float* const* embeddings = nullptr;  // [images], each [embedding_dim of its pooling]
  float* tokens = nullptr;             // [packed tokens at the end, D] if wanted
  float* sizes = nullptr;              // [packed tokens at the end] if the map is wanted
  int32_t* groups = nullptr;  // [images * tokens] packed final row of each first token, likewise
};

// Sums over all runs.
struct Statistics {
  uint64_t graph_runs = 0;  // runs of a plan that was a graph already
  uint64_t eager_runs = 0;
  double copy_seconds = 0;  // device time of copying pixels in
  double pass_seconds = 0;  // device time of the passes
};

// One step of one pass.
struct Step {
  char name[32];
  float seconds;
};

// A model on a device.
struct Session;

struct Table {
  int32_t version;  // kModuleVersion

  Code (*device_count)(int32_t* count, Message* message);
  Code (*device_facts)(int32_t device, DeviceFacts* facts, Message* message);

  // What Load would take. kInvalidArgument where it would refuse the model.
  Code (*memory)(const Model* model, const Options* options, Memory* memory, Message* message);

  // Checks, allocates all that the session will ever use, and loads. kOutOfMemory before anything
  // is loaded if it does not fit.
  Code (*load)(const Model* model, const WeightSource* weights, const Options* options,
               Session** session, Message* message);

  // What the log should keep of a session: lines of text, as long as the session lives.
  const char* (*description)(const Session* session);

  // One pass; returns when the results are there. As many calls at the same time as
  // max_concurrent_runs. REQUIRES: 1 to max_images images.
  Code (*run)(Session* session, const Batch* batch, const Results* results, Message* message);

  // The same, every step timed on the device: up to `capacity` of them, in order; *steps is their
  // number.
  Code (*profile)(Session* session, const Batch* batch, const Results* results, Step* step,
                  int32_t capacity, int32_t* steps, Message* message);

  void (*statistics)(const Session* session, Statistics* statistics);

  // REQUIRES: no call in progress.
  void (*unload)(Session* session);
};

}  // namespace tome::cuda

extern "C" {

// The table, or null if `version` is not the module's. It lives as long as the module.
__attribute__((visibility("default"))) const tome::cuda::Table* tome_cuda_module(int version);

using TomeCudaModuleFunction = const tome::cuda::Table*(int);
}

#endif  // TOME_SERVER_CUDA_MODULE_H_
