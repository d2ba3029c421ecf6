#ifndef TOME_SERVER_BASE_LOG_H_
#define TOME_SERVER_BASE_LOG_H_

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

// The one front of the log. Lines go to standard error; standard output stays free.
// Thread-safe. No type of the logging library shows here, so that LibTorch's own copy of fmt and
// Debian's never meet in one source file.

namespace tome {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One key and its value beside the message: "request_id" and the id, say. A number is given as is.
struct LogField {
  LogField(absl::string_view name, const absl::AlphaNum& text) : key(name), value(text.Piece()) {}

  std::string key;
  std::string value;
};

// Lines below `level` are dropped from now on. The default is kInfo.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// "debug", "info", "warning" and "error", for the --log-level option. False if `name` is none.
bool ParseLogLevel(absl::string_view name, LogLevel* level);

// One line: time, level, message, then each field as key=value.
void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {});

inline void LogDebug(absl::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kDebug, message, fields);
}
inline void LogInfo(absl::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarning(absl::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarning, message, fields);
}
inline void LogError(absl::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, message, fields);
}

}  // namespace tome

#endif  // TOME_SERVER_BASE_LOG_H_
