#ifndef TOME_SERVER_CUDA_PASS_H_
#define TOME_SERVER_CUDA_PASS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "server/cuda/activations.h"
#include "server/cuda/module.h"
#include "server/cuda/pass_plan.h"
#include "server/cuda/step_timer.h"
#include "server/cuda/weights.h"
#include "server/kernels/element_type.h"

namespace tome::cuda {

// The forward pass of a vision transformer with Token Merging, as the paper writes it: kernels and
// linear layers on one stream, nothing read back, nothing waited for. Types are those of
// model/precision.h. Keeps no state between passes.
class Pass {
 public:
  // `weights` outlives it. `model`'s pointers are not kept.
  Pass(const Model& model, const Options& options, Weights& weights,
       const Activations& activations);

  // Pixels [images, height, width, 3] on the device -> patch rows. Apart from Run, which a graph
  // replays: the pixels come from another buffer each time.
  void ReadPixels(const uint8_t* pixels, int images, cudaStream_t stream, StepTimer& timer) const;

  // From patch rows to embeddings. REQUIRES before it on the stream: ReadPixels, the plan's upload
  // in activations.segments, and for a map each token's own row in activations.group. Leaves
  //   activations.pooled      each image's embedding, in pooling order
  //   activations.projected   likewise, of those that are projected
  //   activations.wide        the final tokens if wanted: float32 after the final norm; where that
  //                           stands behind the pooling, T as they are
  //   activations.final_size  of a map, if anything was merged, and
  //   activations.group       [first tokens] the packed final row of each
  void Run(const PassPlan& plan, cudaStream_t stream, StepTimer& timer) const;

 private:
  struct Tokens;

  void KeepFirstRows(const PassPlan& plan, Tokens& tokens, cudaStream_t stream,
                     StepTimer& timer) const;
  void LayerNorm(const void* x, const DeviceNorm& norm, void* out, kernels::ElementType out_type,
                 int rows, cudaStream_t stream) const;
  void Attend(const PassPlan& plan, int index, const Tokens& tokens, cudaStream_t stream,
              StepTimer& timer) const;
  void Merge(const DeviceBlock& block, const PassPlan& plan, int index, Tokens& tokens,
             cudaStream_t stream, StepTimer& timer) const;
  void Mlp(LinearLayer& fc1, LinearLayer& fc2, Activation activation, void* x, int rows,
           cudaStream_t stream, StepTimer& timer) const;
  void Pool(const PassPlan& plan, const PoolingGroup& group, const Tokens& tokens,
            cudaStream_t stream, StepTimer& timer) const;
  void AttendToTokens(const PassPlan& plan, const PoolingGroup& group, const Tokens& tokens,
                      cudaStream_t stream, StepTimer& timer) const;
  void CopyTokens(const PassPlan& plan, const Tokens& tokens, cudaStream_t stream) const;

  // Constant after construction; weights_ but for the layers' use.
  const Model model_;
  const kernels::ElementType type_;
  Weights& weights_;
  const Activations a_;
};

}  // namespace tome::cuda

#endif  // TOME_SERVER_CUDA_PASS_H_
