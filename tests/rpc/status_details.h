#ifndef TOME_TESTS_RPC_STATUS_DETAILS_H_
#define TOME_TESTS_RPC_STATUS_DETAILS_H_

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

namespace tome {

// What the binary details of a status say.
inline google::rpc::Status RichStatusOf(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  return rich;
}

// The detail of the message's type; a default one, and a failed test, if there is none.
template <typename Message>
Message DetailOf(const grpc::Status& status) {
  Message message;
  const google::rpc::Status rich = RichStatusOf(status);
  for (const google::protobuf::Any& detail : rich.details()) {
    if (detail.Is<Message>()) {
      detail.UnpackTo(&message);
      return message;
    }
  }
  ADD_FAILURE() << "no " << message.GetTypeName() << " in " << rich.DebugString();
  return message;
}

}  // namespace tome

#endif  // TOME_TESTS_RPC_STATUS_DETAILS_H_
