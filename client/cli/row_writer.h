#ifndef TOME_CLIENT_CLI_ROW_WRITER_H_
#define TOME_CLIENT_CLI_ROW_WRITER_H_

#include <string>

#include "absl/status/status.h"

#include "client/embedding.h"

namespace tome::client {

// Where embeddings go, one row a file. Not thread-safe.
class RowWriter {
 public:
  virtual ~RowWriter() = default;

  // INVALID_ARGUMENT if this row does not fit the format: it is left out, and others may follow.
  // UNKNOWN, with the system's reason, if the file cannot be written: none may follow.
  virtual absl::Status Write(const std::string& path, const Embedding& embedding) = 0;

  // Makes what was written so far a complete file. Call once, last, also after an error.
  virtual absl::Status Finish() = 0;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_ROW_WRITER_H_
