#ifndef TOME_SERVER_MODEL_PROFILE_FILE_H_
#define TOME_SERVER_MODEL_PROFILE_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/merge/merge_profile.h"

namespace tome {

// Reads the text of a profile.json, as `tome calibrate` writes it. INVALID_ARGUMENT names the key
// that is missing or wrong; so does one that was measured with other weights than those of
// `weights_digest`, whose numbers would say nothing.
absl::StatusOr<MergeProfile> ReadProfile(absl::string_view text, const std::string& weights_digest);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_PROFILE_FILE_H_
