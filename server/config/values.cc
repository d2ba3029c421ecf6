#include "server/config/values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"

namespace tome {
namespace {

struct ByteUnit {
  absl::string_view suffix;
  int64_t bytes;
};
constexpr std::array<ByteUnit, 3> kByteUnits = {
    {{"GiB", int64_t{1} << 30}, {"MiB", int64_t{1} << 20}, {"KiB", int64_t{1} << 10}}};

absl::Status Wrong(absl::string_view text, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not ", allowed));
}

// SimpleAtoi alone would also take a sign and surrounding blanks.
bool ParseDigits(absl::string_view text, int64_t* number) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, number);
}

bool ParseR(absl::string_view text, int* r) {
  int64_t number = 0;
  if (!ParseDigits(text, &number) || !MergeSchedule::IsValidR(number)) return false;
  *r = static_cast<int>(number);
  return true;
}

bool ParseLinear(absl::string_view text, MergeSchedule::Linear* linear) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  return ParseR(parts.first, &linear->mean_r) &&
         absl::SimpleAtod(parts.second, &linear->inflection) &&
         MergeSchedule::IsValidInflection(linear->inflection);
}

bool ParsePerBlock(absl::string_view text, MergeSchedule::PerBlock* per_block) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    if (!ParseR(part, &per_block->r.emplace_back())) return false;
  }
  return true;
}

std::string Format(const MergeSchedule::Constant& constant) { return absl::StrCat(constant.r); }
std::string Format(const MergeSchedule::Linear& linear) {
  return absl::StrCat("linear:", linear.mean_r, ":", linear.inflection);
}
std::string Format(const MergeSchedule::PerBlock& per_block) {
  return absl::StrCat("blocks:", absl::StrJoin(per_block.r, ","));
}

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

// A host name, an IPv4 address, or an IPv6 address in brackets.
bool IsHost(absl::string_view host) {
  if (absl::ConsumePrefix(&host, "[")) {
    in6_addr address;
    return absl::ConsumeSuffix(&host, "]") &&
           inet_pton(AF_INET6, std::string(host).c_str(), &address) == 1;
  }
  if (host.find_first_not_of("0123456789.") == absl::string_view::npos) {
    in_addr address;
    return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
  }
  return std::all_of(host.begin(), host.end(), IsNameCharacter);
}

}  // namespace

absl::StatusOr<int64_t> ParseInteger(absl::string_view text, int64_t lowest, int64_t highest) {
  int64_t number = 0;
  if (!ParseDigits(text, &number) || number < lowest || number > highest) {
    return Wrong(text, absl::StrCat("a whole number from ", lowest, " to ", highest));
  }
  return number;
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text, absl::Duration lowest,
                                             absl::Duration highest) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration < lowest || duration > highest) {
    return Wrong(text,
                 absl::StrCat("a duration from ", absl::FormatDuration(lowest), " to ",
                              absl::FormatDuration(highest), ", written as 500ms, 30s or 5m"));
  }
  return duration;
}

absl::StatusOr<int64_t> ParseBytes(absl::string_view text, int64_t lowest, int64_t highest) {
  absl::string_view digits = text;
  int64_t unit_bytes = 1;
  for (const ByteUnit& unit : kByteUnits) {
    if (absl::ConsumeSuffix(&digits, unit.suffix)) {
      unit_bytes = unit.bytes;
      break;
    }
  }
  int64_t number = 0;
  int64_t bytes = 0;
  if (!ParseDigits(digits, &number) || __builtin_mul_overflow(number, unit_bytes, &bytes) ||
      bytes < lowest || bytes > highest) {
    return Wrong(text, absl::StrCat("a size from ", FormatBytes(lowest), " to ",
                                    FormatBytes(highest), ", in bytes or with KiB, MiB or GiB"));
  }
  return bytes;
}

std::string FormatBytes(int64_t bytes) {
  for (const ByteUnit& unit : kByteUnits) {
    if (bytes > 0 && bytes % unit.bytes == 0) return absl::StrCat(bytes / unit.bytes, unit.suffix);
  }
  return absl::StrCat(bytes);
}

absl::StatusOr<MergeSchedule> ParseSchedule(absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "linear:")) {
    MergeSchedule::Linear linear;
    if (ParseLinear(rest, &linear)) return MergeSchedule(linear);
  } else if (absl::ConsumePrefix(&rest, "blocks:")) {
    MergeSchedule::PerBlock per_block;
    if (ParsePerBlock(rest, &per_block)) return MergeSchedule(std::move(per_block));
  } else {
    MergeSchedule::Constant constant;
    if (ParseR(rest, &constant.r)) return MergeSchedule(constant);
  }
  return Wrong(text, absl::StrCat("an r from 0 to ", MergeSchedule::kMaxR,
                                  ", linear:R:INFLECTION with an inflection from -1 to 1, or "
                                  "blocks:R,R,..."));
}

std::string FormatSchedule(const MergeSchedule& schedule) {
  return std::visit([](const auto& kind) { return Format(kind); }, schedule.kind());
}

absl::Status CheckAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon != absl::string_view::npos) {
    int64_t port = 0;
    if (IsHost(text.substr(0, colon)) && ParseDigits(text.substr(colon + 1), &port) &&
        port <= 65'535) {
      return absl::OkStatus();
    }
  }
  return Wrong(text,
               "HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:50051 or [::1]:50051");
}

absl::Status CheckModelName(absl::string_view name) {
  constexpr size_t kLongestName = 64;
  if (!name.empty() && name.size() <= kLongestName &&
      std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return absl::OkStatus();
  }
  return Wrong(name, absl::StrCat("a model name: 1 to ", kLongestName, " of A-Z a-z 0-9 . _ -"));
}

}  // namespace tome
