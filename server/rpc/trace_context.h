#ifndef TOME_SERVER_RPC_TRACE_CONTEXT_H_
#define TOME_SERVER_RPC_TRACE_CONTEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tome {

// The trace id, 32 hexadecimal digits, of a traceparent header (W3C Trace Context); "" if the
// header is not one.
std::string TraceIdOf(absl::string_view traceparent);

}  // namespace tome

#endif  // TOME_SERVER_RPC_TRACE_CONTEXT_H_
