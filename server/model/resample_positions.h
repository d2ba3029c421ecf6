#ifndef TOME_SERVER_MODEL_RESAMPLE_POSITIONS_H_
#define TOME_SERVER_MODEL_RESAMPLE_POSITIONS_H_

#include <vector>

#include "server/model/vit_config.h"

namespace tome {

// A position embedding [from.height * from.width, dim] on another grid, as PyTorch's
// interpolate(mode="bicubic", align_corners=False) computes it: cubic convolution with a = -0.75
// over 4 x 4 neighbours, rows and columns beyond the edge repeating it; or, antialiased, with a =
// -0.5 over as much of the grid as one cell of the smaller one covers, normalised at the edge.
// REQUIRES: positions has that many numbers, all sides > 0.
std::vector<float> ResamplePositions(const std::vector<float>& positions, int dim, ImageSize from,
                                     ImageSize to, PositionResampling resampling);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_RESAMPLE_POSITIONS_H_
