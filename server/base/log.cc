#include "server/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/escaping.h"
#include <nlohmann/json.hpp>

#include "server/base/repeat_limiter.h"

namespace tome {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v";
// The object's end is the message's own: its fields differ.
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)";

std::atomic<LogFormat> log_format = LogFormat::kText;

spdlog::logger& Logger() {
  static spdlog::logger& logger = []() -> spdlog::logger& {
    auto* made =
        new spdlog::logger("tome", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern(kTextPattern);
    made->flush_on(spdlog::level::info);
    return *made;
  }();
  return logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// A value that a line-oriented reader could misread is quoted, so that one call is always one line.
void AppendField(std::string& line, const LogField& field) {
  const bool plain = !field.value.empty() &&
                     std::all_of(field.value.begin(), field.value.end(), [](unsigned char c) {
                       return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
                     });
  absl::StrAppend(&line, " ", field.key, "=");
  if (plain) {
    absl::StrAppend(&line, field.value);
  } else {
    absl::StrAppend(&line, "\"", absl::CEscape(field.value), "\"");
  }
}

std::string TextLine(absl::string_view message, const std::vector<LogField>& fields) {
  std::string line(message);
  for (const LogField& field : fields) AppendField(line, field);
  return line;
}

// All of the object but its opening brace.
std::string JsonLine(absl::string_view message, const std::vector<LogField>& fields) {
  nlohmann::ordered_json object;
  object["message"] = std::string(message);
  for (const LogField& field : fields) {
    // What JSON has no number for, such as an infinity, stays a string.
    const auto number = field.is_number ? nlohmann::json::parse(field.value, nullptr, false)
                                        : nlohmann::json(nlohmann::json::value_t::discarded);
    if (number.is_discarded()) {
      object[field.key] = field.value;
    } else {
      object[field.key] = number;
    }
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(1);
}

RepeatLimiter& Repeats() {
  static RepeatLimiter& limiter = *new RepeatLimiter(10, absl::Minutes(1), Clock::Steady());
  return limiter;
}

}  // namespace

void SetLogLevel(LogLevel level) { Logger().set_level(ToSpdlog(level)); }

bool LogEnabled(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

bool ParseLogLevel(absl::string_view name, LogLevel* level) {
  if (name == "debug") {
    *level = LogLevel::kDebug;
  } else if (name == "info") {
    *level = LogLevel::kInfo;
  } else if (name == "warning") {
    *level = LogLevel::kWarning;
  } else if (name == "error") {
    *level = LogLevel::kError;
  } else {
    return false;
  }
  return true;
}

void SetLogFormat(LogFormat format) {
  log_format.store(format);
  Logger().set_pattern(format == LogFormat::kJson ? kJsonPattern : kTextPattern);
}

bool ParseLogFormat(absl::string_view name, LogFormat* format) {
  if (name == "text") {
    *format = LogFormat::kText;
  } else if (name == "json") {
    *format = LogFormat::kJson;
  } else {
    return false;
  }
  return true;
}

void Log(LogLevel level, absl::string_view message, std::vector<LogField> fields) {
  if (!LogEnabled(level)) return;
  if (level >= LogLevel::kWarning) {
    const std::optional<int64_t> held_back = Repeats().Pass(message);
    if (!held_back.has_value()) return;
    if (*held_back > 0) fields.emplace_back("held_back", *held_back);
  }
  const std::string line =
      log_format.load() == LogFormat::kJson ? JsonLine(message, fields) : TextLine(message, fields);
  Logger().log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace tome
