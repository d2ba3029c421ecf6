#include "client/cli/merge_map_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tome::client {
namespace {

using Colour = std::array<uint8_t, 3>;

constexpr int kNoGroup = -1;
// Of a picture that people look at.
constexpr uint32_t kShortestSide = 448;

// A saturated colour; those of neighbouring numbers are far apart.
Colour LineColour(int group) {
  constexpr double kGoldenRatio = 0.61803398875;
  const double hue = std::fmod(group * kGoldenRatio, 1.0) * 6.0;
  const auto channel = [hue](double peak) {
    const double distance = std::abs(std::remainder(hue - peak, 6.0));
    return static_cast<uint8_t>(std::lround(255.0 * std::clamp(2.0 - distance, 0.0, 1.0)));
  };
  return {channel(0.0), channel(2.0), channel(4.0)};
}

// The pixels that the model saw, and the group of each.
class Grid {
 public:
  Grid(const ModelPixels& pixels, const MergeMap& map, int patch_size)
      : pixels_(pixels), map_(map), patch_size_(patch_size), means_(map.size.size()) {
    std::vector<std::array<double, 3>> sums(map.size.size());
    std::vector<double> counts(map.size.size());
    for (uint32_t row = 0; row < pixels.height; ++row) {
      for (uint32_t column = 0; column < pixels.width; ++column) {
        const int group = GroupAt(row, column);
        if (group == kNoGroup) continue;
        const Colour colour = PixelAt(row, column);
        for (int channel = 0; channel < 3; ++channel) sums[group][channel] += colour[channel];
        ++counts[group];
      }
    }
    for (size_t group = 0; group < means_.size(); ++group) {
      for (int channel = 0; channel < 3; ++channel) {
        means_[group][channel] =
            static_cast<uint8_t>(std::lround(sums[group][channel] / std::max(counts[group], 1.0)));
      }
    }
  }

  int GroupAt(uint32_t row, uint32_t column) const {
    const int grid_row = static_cast<int>(row) / patch_size_;
    const int grid_column = static_cast<int>(column) / patch_size_;
    if (grid_row >= map_.grid_height || grid_column >= map_.grid_width) return kNoGroup;
    return map_.group_of_patch[grid_row * map_.grid_width + grid_column];
  }

  Colour ColourAt(uint32_t row, uint32_t column) const {
    const int group = GroupAt(row, column);
    return group == kNoGroup ? PixelAt(row, column) : means_[group];
  }

 private:
  Colour PixelAt(uint32_t row, uint32_t column) const {
    const char* pixel = pixels_.pixels.data() + (size_t{row} * pixels_.width + column) * 3;
    return {static_cast<uint8_t>(pixel[0]), static_cast<uint8_t>(pixel[1]),
            static_cast<uint8_t>(pixel[2])};
  }

  const ModelPixels& pixels_;
  const MergeMap& map_;
  int patch_size_;
  std::vector<Colour> means_;  // [groups]
};

absl::Status CheckFits(const ModelPixels& pixels, const MergeMap& map, int patch_size) {
  const bool covered = patch_size > 0 && pixels.height > 0 && pixels.width > 0 &&
                       map.grid_height * patch_size <= static_cast<int>(pixels.height) &&
                       map.grid_width * patch_size <= static_cast<int>(pixels.width);
  const bool whole = map.group_of_patch.size() == size_t(map.grid_height) * map.grid_width;
  const bool known = std::ranges::all_of(map.group_of_patch, [&](int group) {
    return group >= 0 && group < static_cast<int>(map.size.size());
  });
  if (covered && whole && known) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      "the server's merge map of ", map.grid_height, " x ", map.grid_width, " patches and ",
      map.size.size(), " tokens does not fit its ", pixels.height, " x ", pixels.width, " pixels"));
}

}  // namespace

absl::StatusOr<RgbImage> DrawMergeMap(const ModelPixels& pixels, const MergeMap& map,
                                      int patch_size, int scale) {
  if (absl::Status fits = CheckFits(pixels, map, patch_size); !fits.ok()) return fits;
  const Grid grid(pixels, map, patch_size);
  RgbImage picture{pixels.height * scale, pixels.width * scale, ""};
  picture.pixels.reserve(size_t{3} * picture.height * picture.width);
  const auto group_at = [&](int64_t row, int64_t column) {
    if (row < 0 || column < 0 || row >= picture.height || column >= picture.width) return kNoGroup;
    return grid.GroupAt(static_cast<uint32_t>(row / scale), static_cast<uint32_t>(column / scale));
  };
  for (int64_t row = 0; row < picture.height; ++row) {
    for (int64_t column = 0; column < picture.width; ++column) {
      const int group = group_at(row, column);
      // The outermost pixels of a group, the picture's edge included.
      const bool line = group != kNoGroup &&
                        (group_at(row - 1, column) != group || group_at(row + 1, column) != group ||
                         group_at(row, column - 1) != group || group_at(row, column + 1) != group);
      const Colour colour = line ? LineColour(group)
                                 : grid.ColourAt(static_cast<uint32_t>(row / scale),
                                                 static_cast<uint32_t>(column / scale));
      picture.pixels.append(reinterpret_cast<const char*>(colour.data()), colour.size());
    }
  }
  return picture;
}

absl::StatusOr<RgbImage> DrawMergeMapOf(const Embedding& embedding, int patch_size) {
  if (!embedding.merge_map.has_value() || !embedding.model_pixels.has_value()) {
    return absl::UnimplementedError(
        "the server is older than this command: its answer has no model pixels");
  }
  const ModelPixels& pixels = *embedding.model_pixels;
  const uint32_t side = std::max(std::min(pixels.height, pixels.width), 1u);
  return DrawMergeMap(pixels, *embedding.merge_map, patch_size,
                      static_cast<int>((kShortestSide + side - 1) / side));
}

}  // namespace tome::client
