#ifndef TOME_CLIENT_CLI_COSINE_H_
#define TOME_CLIENT_CLI_COSINE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace tome::client {

// 0 where one of them has no direction.
inline double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0.0;
  double a_squared = 0.0;
  double b_squared = 0.0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    dot += double{a[i]} * double{b[i]};
    a_squared += double{a[i]} * double{a[i]};
    b_squared += double{b[i]} * double{b[i]};
  }
  return a_squared == 0.0 || b_squared == 0.0 ? 0.0 : dot / std::sqrt(a_squared * b_squared);
}

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_COSINE_H_
