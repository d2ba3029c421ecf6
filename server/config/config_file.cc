#include "server/config/config_file.h"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"

// Only this file includes the library, whose header is heavy, and includes it last: 3.3.0 asserts,
// or with NDEBUG lets clang assume, that no section's name begins with a dot. Without either, its
// next lines report the error.
#undef NDEBUG
#define TOML_ASSERT(condition) static_assert(true)
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace tome {
namespace {

// Always in double quotes, on one line.
constexpr toml::format_flags kFormat = toml::format_flags::allow_unicode_strings;

std::string NameOf(const toml::key& key) { return absl::Utf8SafeCEscape(std::string(key.str())); }

class Reader {
 public:
  explicit Reader(absl::string_view name) : name_(name) {}

  absl::StatusOr<ConfigFile> Read(const toml::table& root) const {
    ConfigFile file;
    for (const auto& [key, node] : root) {
      if (key == "model" && node.is_table()) {
        TOME_ASSIGN_OR_RETURN(file.models, ReadModels(*node.as_table()));
      } else {
        TOME_ASSIGN_OR_RETURN(file.keys[NameOf(key)], ReadSetting(NameOf(key), node));
      }
    }
    return file;
  }

  std::string SourceOf(const toml::source_region& region) const {
    return absl::StrCat(name_, ":", region.begin.line);
  }

 private:
  absl::Status Wrong(absl::string_view what, const toml::node& node,
                     absl::string_view problem) const {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " (", SourceOf(node.source()), "): ", problem));
  }

  absl::StatusOr<std::vector<ModelSection>> ReadModels(const toml::table& table) const {
    // toml++ sorts by name.
    std::multimap<toml::source_position, ModelSection> in_order;
    for (const auto& [key, node] : table) {
      ModelSection section = {NameOf(key), SourceOf(node.source()), {}};
      const std::string title = absl::StrCat("model.", section.name);
      if (!node.is_table()) return Wrong(title, node, "is not a section, use [model.NAME]");
      for (const auto& [model_key, value] : *node.as_table()) {
        const std::string name = NameOf(model_key);
        TOME_ASSIGN_OR_RETURN(section.keys[name],
                              ReadSetting(absl::StrCat(title, ".", name), value));
      }
      in_order.emplace(node.source().begin, std::move(section));
    }
    std::vector<ModelSection> models;
    for (auto& [position, section] : in_order) models.push_back(std::move(section));
    return models;
  }

  absl::StatusOr<Given> ReadSetting(const std::string& name, const toml::node& node) const {
    if (node.is_table()) {
      return Wrong(absl::StrCat("[", name, "]"), node,
                   "no such section, use [model.NAME], with NAME in double quotes if it has a dot");
    }
    Given given = {{}, SourceOf(node.source())};
    if (const toml::array* const list = node.as_array(); list != nullptr) {
      for (const toml::node& value : *list) {
        TOME_ASSIGN_OR_RETURN(given.values.emplace_back(), ReadValue(name, value));
      }
    } else {
      TOME_ASSIGN_OR_RETURN(given.values.emplace_back(), ReadValue(name, node));
    }
    return given;
  }

  absl::StatusOr<std::string> ReadValue(const std::string& name, const toml::node& node) const {
    if (const auto* const text = node.as_string(); text != nullptr) return text->get();
    if (const auto* const number = node.as_integer(); number != nullptr) {
      return absl::StrCat(number->get());
    }
    std::ostringstream problem;
    if (node.is_value()) {
      problem << toml::toml_formatter(node, kFormat);
    } else {
      problem << (node.is_table() ? "a table" : "a list in a list");
    }
    problem << " is not a whole number or text in double quotes";
    return Wrong(name, node, problem.str());
  }

  const std::string name_;
};

}  // namespace

absl::StatusOr<ConfigFile> ParseConfigFile(absl::string_view text, absl::string_view name) {
  const Reader reader(name);
  const toml::parse_result result = toml::parse(std::string_view(text.data(), text.size()));
  if (result.failed()) {
    const toml::parse_error& error = result.error();
    std::string problem(error.description());
    // It may quote the end of a line.
    std::replace_if(problem.begin(), problem.end(), absl::ascii_iscntrl, ' ');
    return absl::InvalidArgumentError(
        absl::StrCat(reader.SourceOf(error.source()), ": ", problem,
                     " (text needs double quotes; a key or section stands once)"));
  }
  return reader.Read(result.table());
}

std::string QuoteForConfigFile(absl::string_view value) {
  const toml::value<std::string> text(value.data(), value.size());
  std::ostringstream quoted;
  quoted << toml::toml_formatter(text, kFormat);
  return quoted.str();
}

}  // namespace tome
