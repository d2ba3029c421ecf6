#ifndef TOME_SERVER_LAB_OPTIMIZER_H_
#define TOME_SERVER_LAB_OPTIMIZER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace tome {

// The learning rate of a step: rises linearly over the warm-up, then falls along half a cosine to
// 0. REQUIRES: 0 <= step < steps.
double LearningRate(double peak, int64_t step, int64_t warm_up_steps, int64_t steps);

// The nearest matrix with orthonormal rows or columns, by five steps of a Newton-Schulz iteration:
// its singular values lie around 1, not at it. matrix: [rows, columns], not all zeros.
at::Tensor Orthogonalized(const at::Tensor& matrix);

// What steps a layer's weights. Biases, norms, positions, prefix tokens, patch embeddings that are
// convolutions and whatever else is no matrix of weights are AdamW's in any case.
enum class Algorithm {
  kAdamW,  // "Decoupled Weight Decay Regularization", Loshchilov and Hutter, 2019
  // Along the orthogonalised mean of the gradients, so that rare directions count as much as
  // frequent ones (Muon: Jordan et al., 2024), as far as AdamW's steps go, so that it takes the
  // same learning rate ("Muon is Scalable for LLM Training", Liu et al., 2025, section 2.2).
  kMuon,
};

// Steps named parameters along their gradients, all its state in tensors. Not thread-safe.
class Optimizer {
 public:
  // The parameters' own tensors are changed. Weights of layers decay; nothing else does.
  Optimizer(const std::map<std::string, at::Tensor>& parameters, Algorithm algorithm,
            double weight_decay);

  // One step along the gradients that the parameters gathered, scaled down to a norm of at most
  // `largest_norm` over all of them; then there are none. Returns the norm before. A gradient that
  // is not finite changes nothing and is returned.
  double Step(double learning_rate, double largest_norm);

  // All that the next steps follow from beside the parameters: "mean.NAME" of the gradient,
  // "square.NAME" of its square where AdamW steps the parameter, and "steps.NAME" there were.
  // The tensors share memory with the optimiser's.
  std::map<std::string, at::Tensor> State() const;

 private:
  struct Moments {
    at::Tensor mean;
    at::Tensor square;  // undefined where Muon steps the parameter
    at::Tensor steps;   // one float32
  };

  void Scale(double factor);  // the gradients
  // Those of AdamW's parameters that decay, or that do not.
  void StepByAdamW(double learning_rate, bool decays);
  void StepByMuon(double learning_rate);

  std::map<std::string, at::Tensor> parameters_;
  std::map<std::string, Moments> moments_;
  double weight_decay_;
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_OPTIMIZER_H_
