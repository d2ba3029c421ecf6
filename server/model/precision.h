#ifndef TOME_SERVER_MODEL_PRECISION_H_
#define TOME_SERVER_MODEL_PRECISION_H_

#include <c10/core/ScalarType.h>

namespace tome {

// The precision contract: which type each value has. Every pass keeps to it, on every device.
//
//   value                                           float32    bfloat16
//   weights and biases of linear layers             float32    bfloat16
//   inputs and outputs of linear layers             float32    bfloat16
//   sums inside a linear layer                      float32    float32
//   residual stream (the packed tokens)             float32    bfloat16, each sum rounded once
//   weights, biases and statistics of layer norms   float32    float32
//   GELU and the like                               float32    float32 inside; in and out bfloat16,
//                                                              or float32 straight from the sums
//   pixels after mean and std, position embedding   float32    float32, rounded once as tokens
//   attention logits, softmax and weighted values   float32    float32, rounded once behind them;
//                                                              the softmax's numerators bfloat16
//                                                              where the processor multiplies pairs
//   key metric, its norm and the match scores       float32    float32, from bfloat16 keys
//   sizes, log(size)                                float32    float32
//   merged values                                   float32    float32 sums, rounded once
//   final norm, pooling, projection, embedding,     float32    float32, weights and biases, too
//     final tokens
//
// GPUs also compute in float16, which stands where bfloat16 does. In a half type they differ in
// three places: the softmax's numerators are rounded to it, as tensor cores read them; the tanh
// GELU is taken of fc1's float32 sums; and the attention pooling computes in it up to the pooled
// row. float32 there is no TF32.
//
// Denormal numbers are kept on every thread: nothing here switches flush-to-zero on, so no thread
// can differ from another.
//
// The embedding of an image has the same bits whatever its batch mates. What runs on packed rows is
// therefore only what treats each row by itself (linear layers as linear.h says, layer norm) or
// each element exactly alike (sums, GELU by oneDNN, the kernels of kernels/cpu); attention,
// matching, merging, pooling and the other activations run on one image's rows at a time: ATen
// computes the last few elements of a range by other instructions than the rest.

// Every float32 of the right-hand column.
inline constexpr c10::ScalarType kFloat = c10::ScalarType::Float;

}  // namespace tome

#endif  // TOME_SERVER_MODEL_PRECISION_H_
