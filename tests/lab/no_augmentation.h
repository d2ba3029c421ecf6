#ifndef TOME_TESTS_LAB_NO_AUGMENTATION_H_
#define TOME_TESTS_LAB_NO_AUGMENTATION_H_

#include "server/lab/augment.h"

namespace tome {

// Views that are the pictures themselves.
inline constexpr Augmentation kNoAugmentation = {.smallest_crop = 1.0,
                                                 .aspect = 1.0,
                                                 .rotation = 0.0,
                                                 .flip = false,
                                                 .brightness = 0.0,
                                                 .contrast = 0.0,
                                                 .saturation = 0.0,
                                                 .hue = 0.0};

}  // namespace tome

#endif  // TOME_TESTS_LAB_NO_AUGMENTATION_H_
