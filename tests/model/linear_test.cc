#include "server/model/linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/rand.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

namespace tome {
namespace {

at::Tensor Random(at::IntArrayRef shape, c10::ScalarType type) {
  return (at::rand(shape) * 2.0 - 1.0).to(type);
}

TEST(LinearTest, GivesARowTheSameBitsHoweverManyComeWithIt) {
  const c10::InferenceMode inference;
  at::set_num_threads(2);
  for (const auto type : {c10::ScalarType::Float, c10::ScalarType::BFloat16}) {
    for (const Fused fused : {Fused::kNone, Fused::kGelu, Fused::kGeluTanh}) {
      const Linear linear(Random({96, 48}, type), Random({96}, type));
      const at::Tensor x = Random({512, 48}, type);
      const at::Tensor all = linear(x, fused);
      for (int rows = 1; rows <= 512; rows += rows < 40 ? 1 : 24) {
        EXPECT_TRUE(at::equal(linear(x.narrow(0, 0, rows), fused), all.narrow(0, 0, rows)))
            << rows << " rows, " << type;
      }
    }
  }
}

TEST(LinearTest, AppliesGeluToTheSum) {
  const c10::InferenceMode inference;
  const Linear linear(Random({96, 48}, c10::ScalarType::Float),
                      Random({96}, c10::ScalarType::Float));
  const at::Tensor x = Random({40, 48}, c10::ScalarType::Float);

  EXPECT_TRUE(at::allclose(linear(x, Fused::kGelu), at::gelu(linear(x)), 1e-4, 1e-4));
  EXPECT_TRUE(at::allclose(linear(x, Fused::kGeluTanh), at::gelu(linear(x), "tanh"), 1e-4, 1e-4));
  // The two differ by more than that allows.
  EXPECT_FALSE(at::equal(linear(x, Fused::kGelu), linear(x, Fused::kGeluTanh)));
}

}  // namespace
}  // namespace tome
