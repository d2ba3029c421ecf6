#ifndef TOME_TESTS_IMAGE_PREPROCESSING_WORDS_H_
#define TOME_TESTS_IMAGE_PREPROCESSING_WORDS_H_

#include <istream>

#include "server/base/preprocessing.h"

namespace tome {

// A Preprocessing as testdata/resize/cases.txt and the parity tests write it, without rescale, mean
// and std: resize ("none", "shortest", "exact", "cover", "fit"), its height and width,
// interpolation
// ("bicubic"), offset ("half_to_even", "down"), the crop's height and width, the fill's red, green
// and blue. False at the end of the input; throws std::out_of_range for another word.
bool ReadPreprocessing(std::istream& in, Preprocessing* spec);

}  // namespace tome

#endif  // TOME_TESTS_IMAGE_PREPROCESSING_WORDS_H_
