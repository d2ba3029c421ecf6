#ifndef TOME_CLIENT_BATCHES_H_
#define TOME_CLIENT_BATCHES_H_

#include <vector>

#include "absl/status/statusor.h"

#include "client/client.h"
#include "client/embedding.h"

// Any number of images by calls of EmbedBatch.

namespace tome::client {

// The items in their order, in parts that are each as large as one call may be under `limits`. An
// item that is too large for any call gets one of its own, which the server refuses.
std::vector<std::vector<BatchItem>> SplitIntoBatches(std::vector<BatchItem> items,
                                                     const Limits& limits);

// An embedding, or the error, of each item, in their order. Asks the server for its limits, then
// sends as many calls as they need, `calls_at_once` of them side by side (> 0), each with the
// options' timeout. A call that fails gives its error to each of its items.
std::vector<absl::StatusOr<Embedding>> EmbedAll(Client& client, std::vector<BatchItem> items,
                                                const EmbedOptions& options = {},
                                                int calls_at_once = 2);

}  // namespace tome::client

#endif  // TOME_CLIENT_BATCHES_H_
