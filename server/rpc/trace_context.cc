#include "server/rpc/trace_context.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"

namespace tome {
namespace {

bool IsHex(absl::string_view text, size_t digits) {
  // Upper case is not allowed.
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool IsZero(absl::string_view text) { return text.find_first_not_of('0') == text.npos; }

}  // namespace

std::string TraceIdOf(absl::string_view traceparent) {
  const std::vector<absl::string_view> parts = absl::StrSplit(traceparent, '-');
  if (parts.size() < 4 || !IsHex(parts[0], 2) || parts[0] == "ff") return "";
  // Versions after 00 may append more.
  if (parts[0] == "00" && parts.size() != 4) return "";
  const absl::string_view trace = parts[1];
  const absl::string_view parent = parts[2];
  if (!IsHex(trace, 32) || IsZero(trace) || !IsHex(parent, 16) || IsZero(parent)) return "";
  if (!IsHex(parts[3], 2)) return "";
  return std::string(trace);
}

}  // namespace tome
