#include "client/cli/rows_there.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "absl/hash/hash.h"

namespace tome::client {

void RowsThere::Add(absl::string_view name) { keys_.push_back(KeyOf(name)); }

void RowsThere::Sort() {
  std::sort(keys_.begin(), keys_.end());
  taken_.assign(keys_.size(), false);
}

bool RowsThere::Take(absl::string_view name) {
  const Key key = KeyOf(name);
  auto row = std::lower_bound(keys_.begin(), keys_.end(), key);
  for (; row != keys_.end() && *row == key; ++row) {
    if (taken_[row - keys_.begin()]) continue;
    taken_[row - keys_.begin()] = true;
    return true;
  }
  return false;
}

void RowsThere::PutBack() { taken_.assign(keys_.size(), false); }

// Of two libraries, so that what collides in one does not in the other.
RowsThere::Key RowsThere::KeyOf(absl::string_view name) {
  return {std::hash<std::string_view>()({name.data(), name.size()}), absl::HashOf(name)};
}

}  // namespace tome::client
