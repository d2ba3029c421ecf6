#ifndef TOME_CLIENT_CLI_MERGE_MAP_PICTURE_H_
#define TOME_CLIENT_CLI_MERGE_MAP_PICTURE_H_

#include "absl/status/statusor.h"

#include "client/embedding.h"

namespace tome::client {

// Which patches became one token, drawn as the paper's figures are: each group of patches in the
// mean colour of its pixels, with a line in a colour of its own around it. Every pixel that the
// model saw becomes `scale` x `scale`; those beyond the last whole patch, which it did not use,
// stay. INTERNAL where there are no pixels, or they and the map contradict each other. REQUIRES:
// scale > 0.
absl::StatusOr<RgbImage> DrawMergeMap(const ModelPixels& pixels, const MergeMap& map,
                                      int patch_size, int scale);

// Likewise of an embedding that was asked for with both, at a scale at which a patch can be told
// from its neighbours. UNIMPLEMENTED where the server gave them not: it is older than this command.
absl::StatusOr<RgbImage> DrawMergeMapOf(const Embedding& embedding, int patch_size);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_MERGE_MAP_PICTURE_H_
