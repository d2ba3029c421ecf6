#include "tests/kernels/device.h"
#include "tests/kernels/ptx_probe.h"

namespace tome::kernels {
namespace {

class PtxTest : public TypedKernelTest {};
INSTANTIATE_TEST_SUITE_P(HalfTypes, PtxTest,
                         testing::Values(ElementType::kFloat16, ElementType::kBFloat16),
                         ElementTypeName);

// Whole numbers, so that products are exact and a wrong place shows.
TEST_P(PtxTest, MultipliesWhatLdmatrixAndCpAsyncBring) {
  std::vector<float> a(256);
  std::vector<float> b(256);
  std::vector<float> b_rows(256);
  for (int i = 0; i < 256; ++i) {
    a[i] = static_cast<float>(i * 7 % 13 - 6);
    b[i] = static_cast<float>(i * 5 % 11 - 5);
    b_rows[i % 16 * 16 + i / 16] = b[i];
  }
  for (const int valid_bytes : {16, 8, 0}) {
    const ElementArray device_a(type(), a);
    const ElementArray device_b(type(), b);
    const ElementArray device_b_rows(type(), b_rows);
    const DeviceArray<float> product(256);
    const DeviceArray<float> product_transposed(256);

    ASSERT_EQ(ProbePtx({.type = type(),
                        .a = device_a.data(),
                        .b = device_b.data(),
                        .b_rows = device_b_rows.data(),
                        .product = product.data(),
                        .product_transposed = product_transposed.data(),
                        .valid_bytes = valid_bytes},
                       nullptr),
              cudaSuccess);

    std::vector<float> expected(256);
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 16; ++column) {
        for (int k = 0; k < 16; ++k) {
          if (k % 8 * 2 < valid_bytes) {
            expected[row * 16 + column] += a[row * 16 + k] * b[column * 16 + k];
          }
        }
      }
    }
    EXPECT_EQ(product.Download(), expected) << valid_bytes << " valid bytes";
    EXPECT_EQ(product_transposed.Download(), expected) << valid_bytes << " valid bytes";
  }
}

}  // namespace
}  // namespace tome::kernels
