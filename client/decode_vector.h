#ifndef TOME_CLIENT_DECODE_VECTOR_H_
#define TOME_CLIENT_DECODE_VECTOR_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"

#include "client/embedding.h"

namespace tome::client {

// The floats of a vector as it came over the wire: little-endian elements, for kInt8 times `scale`.
// Nothing if `data` is not exactly `count` elements long.
std::optional<std::vector<float>> DecodeVector(ElementType type, absl::string_view data,
                                               size_t count, float scale);

}  // namespace tome::client

#endif  // TOME_CLIENT_DECODE_VECTOR_H_
