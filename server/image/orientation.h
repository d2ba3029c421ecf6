#ifndef TOME_SERVER_IMAGE_ORIENTATION_H_
#define TOME_SERVER_IMAGE_ORIENTATION_H_

#include "server/image/image.h"

namespace tome {

// The picture as it was seen, of the pixels as the camera stored them: what Pillow's exif_transpose
// does. Orientations that exchange rows and columns (5 to 8) take a second picture's memory while
// they run, the others none. REQUIRES: orientation is 1 to 8, EXIF's number.
RgbImage Orient(RgbImage stored, int orientation);

}  // namespace tome

#endif  // TOME_SERVER_IMAGE_ORIENTATION_H_
