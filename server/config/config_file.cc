#include "server/config/config_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/status.h"

namespace tome {
namespace {

bool IsKeyCharacter(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; }

class Parser {
 public:
  Parser(absl::string_view text, absl::string_view name) : rest_(text), name_(name) {}

  absl::StatusOr<std::vector<FileSection>> Parse() {
    sections_.emplace_back();
    while (true) {
      SkipBlanksAndComments();
      if (rest_.empty()) return std::move(sections_);
      if (rest_.front() == '[') {
        TOME_RETURN_IF_ERROR(ParseHeader());
      } else {
        TOME_RETURN_IF_ERROR(ParseSetting());
      }
      TOME_RETURN_IF_ERROR(ExpectEndOfLine());
    }
  }

 private:
  absl::Status Wrong(absl::string_view problem) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ":", line_, ": ", problem));
  }

  bool Consume(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void SkipSpaces() {
    while (Consume(' ') || Consume('\t') || Consume('\r')) continue;
  }

  void SkipBlanksAndComments() {
    while (true) {
      SkipSpaces();
      if (Consume('\n')) {
        ++line_;
      } else if (!rest_.empty() && rest_.front() == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else {
        return;
      }
    }
  }

  absl::Status ExpectEndOfLine() {
    SkipSpaces();
    if (rest_.empty() || rest_.front() == '\n' || rest_.front() == '#') return absl::OkStatus();
    return Wrong("unexpected text after the value or section");
  }

  absl::StatusOr<std::string> ParseString() {
    std::string value;
    while (!rest_.empty() && rest_.front() != '\n') {
      if (Consume('"')) return value;
      if (Consume('\\') && (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\\'))) {
        return Wrong("a backslash in a string must be followed by \" or \\");
      }
      value.push_back(rest_.front());
      rest_.remove_prefix(1);
    }
    return Wrong("a string lacks its closing \"");
  }

  // A key, or a part of a section's name.
  absl::StatusOr<std::string> ParseKey() {
    if (Consume('"')) return ParseString();
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), IsKeyCharacter);
    std::string key(rest_.substr(0, end - rest_.begin()));
    if (key.empty()) return Wrong("expected key = value or [section]");
    rest_.remove_prefix(key.size());
    return key;
  }

  absl::Status ParseHeader() {
    FileSection section;
    section.line = line_;
    Consume('[');
    do {
      SkipSpaces();
      TOME_ASSIGN_OR_RETURN(section.name.emplace_back(), ParseKey());
      SkipSpaces();
    } while (Consume('.'));
    if (!Consume(']')) {
      return Wrong(
          "a section lacks its closing ] (a name with other characters than letters, "
          "digits, - and _ goes in double quotes)");
    }
    for (const FileSection& other : sections_) {
      if (other.name == section.name) {
        return Wrong(absl::StrCat("section [", absl::StrJoin(section.name, "."),
                                  "] is already on line ", other.line));
      }
    }
    sections_.push_back(std::move(section));
    return absl::OkStatus();
  }

  absl::Status ParseSetting() {
    FileSetting setting;
    setting.line = line_;
    TOME_ASSIGN_OR_RETURN(setting.key, ParseKey());
    SkipSpaces();
    if (!Consume('=')) return Wrong(absl::StrCat("expected = after ", setting.key));
    SkipSpaces();
    if (Consume('[')) {
      TOME_RETURN_IF_ERROR(ParseList(setting));
    } else {
      TOME_ASSIGN_OR_RETURN(setting.values.emplace_back(), ParseValue());
    }
    for (const FileSetting& other : sections_.back().settings) {
      if (other.key == setting.key) {
        return absl::InvalidArgumentError(absl::StrCat(name_, ":", setting.line, ": ", setting.key,
                                                       " is already on line ", other.line));
      }
    }
    sections_.back().settings.push_back(std::move(setting));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ParseValue() {
    if (Consume('"')) return ParseString();
    std::string digits;
    if (Consume('-')) digits.push_back('-');
    while (!rest_.empty() && absl::ascii_isdigit(rest_.front())) {
      digits.push_back(rest_.front());
      rest_.remove_prefix(1);
    }
    const bool ends = rest_.empty() || !(IsKeyCharacter(rest_.front()) || rest_.front() == '.' ||
                                         rest_.front() == ':' || rest_.front() == '/');
    if (digits.empty() || digits == "-" || !ends) {
      return Wrong("a value is a whole number or text in double quotes");
    }
    return digits;
  }

  absl::Status ParseList(FileSetting& setting) {
    while (true) {
      SkipBlanksAndComments();
      if (Consume(']')) return absl::OkStatus();
      TOME_ASSIGN_OR_RETURN(setting.values.emplace_back(), ParseValue());
      SkipBlanksAndComments();
      if (Consume(',')) continue;
      if (Consume(']')) return absl::OkStatus();
      return Wrong("expected , or ] in a list");
    }
  }

  absl::string_view rest_;
  const std::string name_;
  int line_ = 1;
  std::vector<FileSection> sections_;
};

}  // namespace

absl::StatusOr<std::vector<FileSection>> ParseConfigFile(absl::string_view text,
                                                         absl::string_view name) {
  return Parser(text, name).Parse();
}

std::string QuoteForConfigFile(absl::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  quoted.push_back('"');
  return quoted;
}

}  // namespace tome
