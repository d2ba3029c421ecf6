#ifndef TOME_CLIENT_CLI_ROWS_THERE_H_
#define TOME_CLIENT_CLI_ROWS_THERE_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tome::client {

// The rows that an interrupted run left, by the names of their files: 16 bytes a row, however long
// the name is. Two names are taken for one only if two hashes of 64 bits agree.
class RowsThere {
 public:
  void Add(absl::string_view name);
  size_t size() const { return keys_.size(); }

  // Call once, between the last Add and the first Take.
  void Sort();

  // Whether there is a row of this name that was not taken, and takes it.
  bool Take(absl::string_view name);
  // All can be taken anew.
  void PutBack();

 private:
  using Key = std::pair<uint64_t, uint64_t>;

  static Key KeyOf(absl::string_view name);

  std::vector<Key> keys_;
  std::vector<bool> taken_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_ROWS_THERE_H_
