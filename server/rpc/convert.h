#ifndef TOME_SERVER_RPC_CONVERT_H_
#define TOME_SERVER_RPC_CONVERT_H_

#include <tome/v1/embedding.pb.h>

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/merge/merge_schedule.h"
#include "server/service/embedding_service.h"

// Between the messages of tome.v1 and the service's types. A message that means nothing is refused
// here, with the path of its field; what depends on the model or on limits is the service's matter.

namespace tome {

// Absent is nullopt. INVALID_ARGUMENT: present but empty, or a value out of range. UNIMPLEMENTED:
// merge.auto.
absl::StatusOr<std::optional<MergeSchedule>> ToMergeSchedule(bool present,
                                                             const v1::MergeSpec& spec);

absl::StatusOr<OutputSpec> ToOutputSpec(const v1::OutputSpec& spec);

// Deadline (without a timeout in the message) and cancellation are left at their defaults. The
// call's spans point into `request`.
absl::StatusOr<EmbedCall> ToEmbedCall(const v1::EmbedRequest& request);

// Likewise. An item that means nothing is its error, a batch's own merge or output the call's.
absl::StatusOr<EmbedBatchCall> ToEmbedBatchCall(const v1::EmbedBatchRequest& request);

// Likewise, with the message's timeout counted from `arrival`.
absl::StatusOr<EmbedCall> ToEmbedCall(const v1::EmbedStreamRequest& message, absl::Time arrival);

// Vectors are moved or copied out of `answer`. `request_id` is named in the errors of a batch.
void FillResponse(EmbedAnswer answer, absl::string_view request_id, v1::EmbedResponse* response);
void FillResponse(EmbedBatchAnswer answer, absl::string_view request_id,
                  v1::EmbedBatchResponse* response);
// All but the id.
void FillResponse(EmbedAnswer answer, v1::EmbedStreamResponse* response);

void FillModel(const ServedModel& model, v1::Model* out);

// `max_message_bytes`: of one message, as the transport enforces it.
void FillLimits(const EmbeddingService::Options& options, int images_per_call,
                int64_t max_message_bytes, v1::Limits* out);

}  // namespace tome

#endif  // TOME_SERVER_RPC_CONVERT_H_
