#ifndef TOME_SERVER_BASE_LOG_H_
#define TOME_SERVER_BASE_LOG_H_

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

// The one front of the log. Lines go to standard error; standard output stays free. A message is a
// constant text; what varies is in its fields. Of a warning or error that repeats, ten lines a
// minute are written and the next one tells in `held_back` how many were not.
// Thread-safe. No type of the logging library shows here, so that LibTorch's own copy of fmt and
// Debian's never meet in one source file.

namespace tome {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// kText: time, level, message, then each field as key=value. kJson: one object a line, with the
// fields beside `time`, `level` and `message`.
enum class LogFormat { kText, kJson };

// One key and its value beside the message: "request_id" and the id, say. A number is given as is.
struct LogField {
  LogField(absl::string_view name, absl::string_view text) : key(name), value(text) {}
  template <typename Number, std::enable_if_t<std::is_arithmetic_v<Number>, bool> = true>
  LogField(absl::string_view name, Number number)
      : key(name), value(absl::StrCat(number)), is_number(true) {}

  std::string key;
  std::string value;
  bool is_number = false;
};

// Lines below `level` are dropped from now on. The default is kInfo.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// "debug", "info", "warning" and "error", for the --log-level option. False if `name` is none.
bool ParseLogLevel(absl::string_view name, LogLevel* level);

// kText unless set. Call before there is another thread.
void SetLogFormat(LogFormat format);

// "text" and "json", for the --log-format option. False if `name` is none.
bool ParseLogFormat(absl::string_view name, LogFormat* format);

// One line.
void Log(LogLevel level, absl::string_view message, std::vector<LogField> fields = {});

inline void LogDebug(absl::string_view message, std::vector<LogField> fields = {}) {
  Log(LogLevel::kDebug, message, std::move(fields));
}
inline void LogInfo(absl::string_view message, std::vector<LogField> fields = {}) {
  Log(LogLevel::kInfo, message, std::move(fields));
}
inline void LogWarning(absl::string_view message, std::vector<LogField> fields = {}) {
  Log(LogLevel::kWarning, message, std::move(fields));
}
inline void LogError(absl::string_view message, std::vector<LogField> fields = {}) {
  Log(LogLevel::kError, message, std::move(fields));
}

}  // namespace tome

#endif  // TOME_SERVER_BASE_LOG_H_
