#include "tests/image/preprocessing_words.h"

#include <map>
#include <string>

namespace tome {
namespace {

using Interpolation = Preprocessing::Interpolation;
using Resize = Preprocessing::Resize;

const std::map<std::string, Resize>& Resizes() {
  static const auto* const words = new std::map<std::string, Resize>{
      {"none", Resize::kNone},   {"shortest", Resize::kShortestEdge},
      {"exact", Resize::kExact}, {"cover", Resize::kCover},
      {"fit", Resize::kFit},
  };
  return *words;
}

const std::map<std::string, Interpolation>& Interpolations() {
  static const auto* const words = new std::map<std::string, Interpolation>{
      {"nearest", Interpolation::kNearest},   {"box", Interpolation::kBox},
      {"bilinear", Interpolation::kBilinear}, {"hamming", Interpolation::kHamming},
      {"bicubic", Interpolation::kBicubic},   {"lanczos", Interpolation::kLanczos},
  };
  return *words;
}

const std::map<std::string, Preprocessing::CropOffset>& Offsets() {
  static const auto* const words = new std::map<std::string, Preprocessing::CropOffset>{
      {"half_to_even", Preprocessing::CropOffset::kHalfToEven},
      {"down", Preprocessing::CropOffset::kDown},
  };
  return *words;
}

}  // namespace

bool ReadPreprocessing(std::istream& in, Preprocessing* spec) {
  std::string resize, interpolation, offset;
  int fill[3] = {};
  if (!(in >> resize >> spec->resize_height >> spec->resize_width >> interpolation >> offset >>
        spec->crop_height >> spec->crop_width >> fill[0] >> fill[1] >> fill[2])) {
    return false;
  }
  spec->resize = Resizes().at(resize);
  spec->interpolation = Interpolations().at(interpolation);
  spec->crop_offset = Offsets().at(offset);
  for (int channel = 0; channel < 3; ++channel) {
    spec->fill[channel] = static_cast<uint8_t>(fill[channel]);
  }
  return true;
}

}  // namespace tome
