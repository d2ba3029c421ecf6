#ifndef TOME_TESTS_CLIENT_NPY_H_
#define TOME_TESTS_CLIENT_NPY_H_

#include <string>
#include <vector>

namespace tome::client {

// A NumPy file of float32 in C order.
struct Npy {
  std::vector<int> shape;
  std::vector<float> values;
};

// Fails the test, and gives what it could read, if the file is not as the format (version 1.0)
// says; bytes beyond those the shape needs are allowed, as NumPy allows them.
Npy ParseNpy(const std::string& bytes);

}  // namespace tome::client

#endif  // TOME_TESTS_CLIENT_NPY_H_
