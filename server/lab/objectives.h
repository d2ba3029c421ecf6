#ifndef TOME_SERVER_LAB_OBJECTIVES_H_
#define TOME_SERVER_LAB_OBJECTIVES_H_

#include <ATen/core/Tensor.h>

namespace tome {

// What training makes small. Embeddings come as rows, of any length; each loss is a mean over rows
// and carries gradients.

// Folders are labels: cross-entropy of the softmax over scaled cosines between embedding and a
// learned vector of each label, the true label smoothed.
//   embeddings [images, D]; label_vectors [labels, D]; labels [images] int64
at::Tensor SupervisedLoss(const at::Tensor& embeddings, const at::Tensor& label_vectors,
                          const at::Tensor& labels);

// Two views of a picture find each other among all views of the batch (NT-Xent: "A Simple Framework
// for Contrastive Learning of Visual Representations", Chen et al., 2020).
//   first, second [images, D], row by row of the same picture; temperature > 0
at::Tensor ContrastiveLoss(const at::Tensor& first, const at::Tensor& second, double temperature);

// 1 - cosine to the teacher's embedding of the same pixels, through which no gradient flows.
at::Tensor DistillationLoss(const at::Tensor& student, const at::Tensor& teacher);

}  // namespace tome

#endif  // TOME_SERVER_LAB_OBJECTIVES_H_
