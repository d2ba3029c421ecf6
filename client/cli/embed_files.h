#ifndef TOME_CLIENT_CLI_EMBED_FILES_H_
#define TOME_CLIENT_CLI_EMBED_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

#include "client/cli/failures.h"
#include "client/cli/progress_bar.h"
#include "client/cli/row_writer.h"
#include "client/client.h"

namespace tome::client {

struct EmbedFilesOptions {
  EmbedOptions embed;   // its timeout is of each file
  int concurrency = 8;  // files on their way at once; > 0
  // The server's limits, 0 where it has none: a file, or a file's message, that is larger fails
  // alone.
  uint64_t file_bytes = 0;
  uint64_t message_bytes = 0;
  int files = 0;  // how many are expected, for the progress
};

// How a run ended. Files that are neither embedded nor failed were not sent, or not answered when
// the run was broken off.
struct EmbedFilesResult {
  int embedded = 0;
  std::vector<FailedFile> failed;  // in the order of the files
  absl::Status broken_off;  // why no more was sent: CANCELLED, UNAVAILABLE or the writer's UNKNOWN
};

// Embeds the files that `next_file` gives, until it gives none, over one stream and writes their
// rows in that order, leaving out those that fail. Memory grows with the files that fail, not with
// their number: at most `concurrency` of them are read at once, and at most 4 * concurrency rows
// wait for an earlier one. Breaks off when `interrupted`
// says so, when a file is UNAVAILABLE after all retries, or when a row cannot be written: shuts
// `client` down and writes the rows that are there, unless writing failed.
EmbedFilesResult EmbedFiles(Client& client,
                            absl::FunctionRef<std::optional<std::string>()> next_file,
                            const EmbedFilesOptions& options, RowWriter& writer,
                            absl::FunctionRef<bool()> interrupted,
                            absl::FunctionRef<void(const Progress&)> progress);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_EMBED_FILES_H_
