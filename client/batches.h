#ifndef TOME_CLIENT_BATCHES_H_
#define TOME_CLIENT_BATCHES_H_

#include <vector>

#include "absl/status/statusor.h"

#include "client/client.h"
#include "client/embedding.h"

// Any number of images by calls of EmbedBatch.

namespace tome::client {

// The items in their order, in parts of a call each. A call gets in whole or not at all: so that it
// does beside other load, `calls_at_once` of them (> 0) take half of the server's places. Neither
// is one larger than a message may be; an item that is too large for any call gets one of its own,
// which the server refuses.
std::vector<std::vector<BatchItem>> SplitIntoBatches(std::vector<BatchItem> items,
                                                     const Limits& limits, int calls_at_once);

// An embedding, or the error, of each item, in their order. Asks the server for its limits, then
// sends as many calls as they need, `calls_at_once` of them side by side (> 0), each with the
// options' timeout. A call that fails gives its error to each of its items.
std::vector<absl::StatusOr<Embedding>> EmbedAll(Client& client, std::vector<BatchItem> items,
                                                const EmbedOptions& options = {},
                                                int calls_at_once = 2);

}  // namespace tome::client

#endif  // TOME_CLIENT_BATCHES_H_
