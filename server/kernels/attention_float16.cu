#include "server/kernels/attention_tensor_core.cuh"

namespace tome::kernels {

template cudaError_t LaunchTensorCoreAttention<__half>(const AttentionInput<__half>&,
                                                       const AttentionPlan&, const AttentionArgs&,
                                                       cudaStream_t);

}  // namespace tome::kernels
