#ifndef TOME_SERVER_MODEL_TENSOR_FILES_H_
#define TOME_SERVER_MODEL_TENSOR_FILES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/model/safetensors.h"

namespace tome {

// The tensors of a checkpoint directory: model.safetensors, or the shards that
// model.safetensors.index.json lists. Views live as long as this. Immutable, thread-safe.
class TensorFiles {
 public:
  // An error names the file, then what is wrong in it; never the directory. NOT_FOUND if there is
  // neither a file nor an index; with both, the file counts, as in transformers.
  static absl::StatusOr<TensorFiles> Open(const std::string& directory);

  // nullptr if no file has such a tensor.
  const TensorView* Find(absl::string_view name) const;

  // Of all files, sorted.
  std::vector<std::string> names() const;

  // Hex SHA-256 over the files' bytes, one behind the other by name: of a single file what
  // sha256sum prints, of shards what `cat model-*.safetensors | sha256sum` does. Reads all of them.
  absl::StatusOr<std::string> Digest() const;

 private:
  std::map<std::string, SafetensorsFile> files_;  // by file name
};

}  // namespace tome

#endif  // TOME_SERVER_MODEL_TENSOR_FILES_H_
