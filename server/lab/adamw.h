#ifndef TOME_SERVER_LAB_ADAMW_H_
#define TOME_SERVER_LAB_ADAMW_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace tome {

// The learning rate of a step: rises linearly over the warm-up, then falls along half a cosine to
// 0. REQUIRES: 0 <= step < steps.
double LearningRate(double peak, int64_t step, int64_t warm_up_steps, int64_t steps);

// AdamW ("Decoupled Weight Decay Regularization", Loshchilov and Hutter, 2019) over named
// parameters, all its state in tensors. Not thread-safe.
class AdamW {
 public:
  struct Moments {
    at::Tensor mean;    // of the gradient
    at::Tensor square;  // of its square
    at::Tensor steps;   // how many there were, one float32
  };

  // The parameters' own tensors are changed. Weights of layers decay; biases, norms, positions and
  // prefix tokens do not.
  AdamW(const std::map<std::string, at::Tensor>& parameters, double weight_decay);

  // One step along the gradients that the parameters gathered, scaled down to a norm of at most
  // `largest_norm` over all of them; then there are none. Returns the norm before. A gradient that
  // is not finite changes nothing and is returned.
  double Step(double learning_rate, double largest_norm);

  // By the parameter's name; tensors share memory with the optimiser's.
  const std::map<std::string, Moments>& moments() const { return moments_; }

 private:
  void Scale(double factor);  // the gradients
  // Of the parameters that decay, or of those that do not.
  void StepGroup(double learning_rate, bool decays);

  std::map<std::string, at::Tensor> parameters_;
  std::map<std::string, Moments> moments_;
  double weight_decay_;
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_ADAMW_H_
