#ifndef TOME_SERVER_LAB_ABLATION_H_
#define TOME_SERVER_LAB_ABLATION_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/lab/token_reduction.h"
#include "server/model/reference_pass.h"

namespace tome {

// A row of the comparison: the server's way, or one that differs from it in a single thing.
struct Variant {
  std::string name;
  Reduction reduction = {};
  // log(size) in the attention where the model has none, and none where it has.
  bool other_attention = false;
  // Empty, or what of it the model lacks.
  std::string not_for_model = {};
};

// The server's way first.
std::vector<Variant> VariantsFor(const VitDescription& vit);

// What a variant came to at one r.
struct AblationRow {
  // Of the embeddings.
  struct Figures {
    std::optional<double> accuracy;  // NearestLabelAccuracy; none without two labels
    double cosine = 0.0;             // to the embedding at r = 0: the mean over the pictures
    double cosine_p5 = 0.0;          // one picture in twenty is lower
    // The same after the mean of the embeddings at r = 0 was taken from all.
    double centred = 0.0;
    double centred_p5 = 0.0;
  };

  int r = 0;
  std::string variant;
  std::string not_for_model;  // empty, or the reason why the numbers below are not there
  Figures figures;
  // An image's share of its batch's pass, and of that what the reduction took in all blocks; the
  // medians over the batches.
  double milliseconds = 0.0;
  double reduction_milliseconds = 0.0;
};

// exact and reduced [pictures, D] float32; labels [pictures] int64. Cosines of zero vectors are 0.
AblationRow::Figures FiguresOf(const at::Tensor& exact, const at::Tensor& reduced,
                               const at::Tensor& labels);

// The share of pictures whose nearest other picture, by cosine, has their label; none of fewer than
// two pictures or labels. Arguments as above.
std::optional<double> NearestLabelAccuracy(const at::Tensor& embeddings, const at::Tensor& labels);

// Each variant's passes over the same batches, in an order drawn anew for each batch, so that what
// the machine does meanwhile is no variant's own. Uses all of Torch's threads.
class Ablation {
 public:
  // One seed draws the same sets, drops and centres again, if the batches are the same.
  // REQUIRES: float32 weights.
  Ablation(const VitDescription& vit, const VitWeights& weights, const std::vector<int>& r,
           uint64_t seed);

  // pixels [images, height, width, 3] uint8. The first batch's passes run twice, once to warm up;
  // only batches as large as it are timed.
  void Add(const at::Tensor& pixels);

  // r = 0, called "no merging", then by r each variant. labels [pictures] int64, in the order of
  // their pixels. REQUIRES: Add was called.
  std::vector<AblationRow> Rows(const at::Tensor& labels) const;

 private:
  struct Arm {
    int r = 0;
    std::optional<Variant> variant = {};  // none: no merging
    std::vector<at::Tensor> embeddings = {};
    std::vector<double> milliseconds = {};
    std::vector<double> reduction_milliseconds = {};
  };

  void RunArm(Arm& arm, const at::Tensor& pixels, bool keep);

  const ReferencePass pass_;
  const ReferencePass other_attention_;
  const uint64_t seed_;
  std::vector<Arm> arms_;
  int64_t batches_ = 0;
  int64_t batch_images_ = 0;  // of the first batch
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_ABLATION_H_
