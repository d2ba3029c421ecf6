#ifndef TOME_SERVER_RPC_RECEIVE_SHARE_H_
#define TOME_SERVER_RPC_RECEIVE_SHARE_H_

#include <algorithm>
#include <cstdint>

namespace tome {

// What is received and not yet admitted is in one of two places, each of which may hold this much:
// in gRPC's buffers until a message is whole, then in an EmbedStream until there is a place for its
// image. (Other calls have a place at once or are refused.) Two of the largest messages always fit.
inline int64_t ReceiveShare(int64_t max_receive_bytes, int64_t max_message_bytes) {
  return std::max(max_receive_bytes / 2, 2 * max_message_bytes);
}

}  // namespace tome

#endif  // TOME_SERVER_RPC_RECEIVE_SHARE_H_
