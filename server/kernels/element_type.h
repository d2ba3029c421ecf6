#ifndef TOME_SERVER_KERNELS_ELEMENT_TYPE_H_
#define TOME_SERVER_KERNELS_ELEMENT_TYPE_H_

#include <cstddef>

namespace tome::kernels {

// The compute type T of a pass: what tokens, weights of linear layers and their inputs are stored
// as. Sums, statistics, sizes and scores are float32 whatever it is.
enum class ElementType { kFloat32, kFloat16, kBFloat16 };

constexpr size_t ElementBytes(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

// Every kernel moves 16 bytes at a time: rows of T are multiples of this many elements long, and
// start on 16 bytes.
inline constexpr int kElementsPerAccess = 8;

// The longest row that the kernels with row statistics hold in a warp's registers.
inline constexpr int kMaxWidth = 2048;

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ELEMENT_TYPE_H_
