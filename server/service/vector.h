#ifndef TOME_SERVER_SERVICE_VECTOR_H_
#define TOME_SERVER_SERVICE_VECTOR_H_

#include <span>
#include <string>

#include "server/engine/engine.h"

namespace tome {

enum class ElementType { kFloat32, kFloat16, kInt8 };
enum class Normalization { kL2, kNone };

// The form in which a caller wants an embedding, and what beside it.
struct OutputSpec {
  ElementType element_type = ElementType::kFloat32;
  Normalization normalization = Normalization::kL2;
  int dimensions = 0;  // leading dimensions to keep; 0 keeps all
  Pooling pooling = Pooling::kModelsOwn;
  bool merge_map = false;
  bool tokens = false;
  bool model_pixels = false;
};

// An embedding as it goes over the wire.
struct EncodedVector {
  ElementType type = ElementType::kFloat32;
  int dimensions = 0;
  std::string data;    // little-endian elements
  float scale = 1.0f;  // what an int8 element is multiplied by; 1 otherwise
};

// Truncates to the leading dimensions, then normalises, then converts: float16 rounds to nearest
// even (a value beyond its range becomes infinite: only without normalisation), int8 is symmetric
// with scale = largest magnitude / 127 and rounds half away from zero; a zero vector has scale 1.
// A zero vector stays zero under L2. REQUIRES: 0 <= spec.dimensions <= embedding.size().
EncodedVector EncodeVector(std::span<const float> embedding, const OutputSpec& spec);

}  // namespace tome

#endif  // TOME_SERVER_SERVICE_VECTOR_H_
