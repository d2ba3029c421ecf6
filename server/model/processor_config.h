#ifndef TOME_SERVER_MODEL_PROCESSOR_CONFIG_H_
#define TOME_SERVER_MODEL_PROCESSOR_CONFIG_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/base/preprocessing.h"
#include "server/model/vit_family.h"

namespace tome {

// Reads the text of a transformers directory's preprocessor_config.json, or of the
// processor_config.json that holds the same as "image_processor". What it leaves out has the
// defaults of the image processor it names, or else of the family's. INVALID_ARGUMENT names the
// key, its value and what is supported: a step that would change the pixels is never passed over.
absl::StatusOr<Preprocessing> ReadProcessorConfig(absl::string_view text, const VitFamily& family);

}  // namespace tome

#endif  // TOME_SERVER_MODEL_PROCESSOR_CONFIG_H_
