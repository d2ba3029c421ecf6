#include "server/kernels/attention_tensor_core.cuh"

namespace tome::kernels {

template cudaError_t LaunchTensorCoreAttention<__nv_bfloat16>(const AttentionInput<__nv_bfloat16>&,
                                                              const AttentionPlan&,
                                                              const AttentionArgs&, cudaStream_t);

}  // namespace tome::kernels
