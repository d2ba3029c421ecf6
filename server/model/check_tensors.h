#ifndef TOME_SERVER_MODEL_CHECK_TENSORS_H_
#define TOME_SERVER_MODEL_CHECK_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/model/tensor_files.h"
#include "server/model/vit_layout.h"

namespace tome {

// "[1, 197, 384]"
std::string ShapeText(const std::vector<int64_t>& shape);
absl::Status MissingTensorError(absl::string_view name);
absl::Status OddShapeError(absl::string_view name, const std::vector<int64_t>& shape,
                           absl::string_view expected);

// That each tensor of `layout` is there with its shape and a floating-point type, and no other one
// but those that the family's embeddings do not need. INVALID_ARGUMENT names the first that is not
// so.
absl::Status CheckTensors(const VitLayout& layout, const TensorFiles& tensors);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_CHECK_TENSORS_H_
