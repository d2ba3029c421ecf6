#ifndef TOME_SERVER_RPC_DURATION_H_
#define TOME_SERVER_RPC_DURATION_H_

#include <google/protobuf/duration.pb.h>

#include <cstdint>

#include "absl/time/time.h"

namespace tome {

// REQUIRES: a finite duration.
inline google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(
      static_cast<int32_t>(absl::IDivDuration(duration, absl::Nanoseconds(1), &duration)));
  return proto;
}

}  // namespace tome

#endif  // TOME_SERVER_RPC_DURATION_H_
