#include "server/config/server_config.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"
#include "server/config/config_file.h"
#include "server/config/flags.h"
#include "server/config/options.h"
#include "server/config/values.h"

namespace tome {
namespace {

// All that is given, by option; the last of an option's list counts.
struct AllGiven {
  std::map<std::string, std::vector<Given>> options;
  std::vector<ModelSection> model_sections;
};

// Where each value in force comes from.
struct Sources {
  std::map<std::string, std::string> options;
  std::map<std::string, std::map<std::string, std::string>> models;  // by name, by key
};

absl::Status Problem(absl::string_view option, absl::string_view source,
                     absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(option, " (", source, "): ", problem));
}

const Option* FindOption(absl::string_view name) {
  for (const Option& option : Options()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

const ModelOption* FindModelOption(absl::string_view name) {
  for (const ModelOption& option : ModelOptions()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

template <typename AnyOption>
std::vector<std::string> Names(const std::vector<AnyOption>& options) {
  std::vector<std::string> names;
  names.reserve(options.size());
  for (const AnyOption& option : options) names.push_back(option.name);
  return names;
}

// Errors and --check-config are lines: no value may break one.
absl::Status CheckOneLine(const Given& given, absl::string_view option) {
  for (const std::string& value : given.values) {
    if (std::any_of(value.begin(), value.end(), absl::ascii_iscntrl)) {
      return Problem(
          option, given.source,
          absl::StrCat("\"", absl::Utf8SafeCEscape(value), "\" holds a control character"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOneValue(const Given& given, absl::string_view option) {
  if (given.values.size() != 1) {
    return Problem(option, given.source,
                   absl::StrCat("is given ", given.values.size(), " values, takes one"));
  }
  return CheckOneLine(given, option);
}

// The TOME_ variables by name. As for getenv, the first of a name counts.
absl::StatusOr<std::map<std::string, std::string>> TomeVariables(
    const std::vector<std::string>& environment) {
  std::vector<std::string> names = {EnvironmentOf("config")};
  for (const Option& option : Options()) names.push_back(EnvironmentOf(option.name));

  std::map<std::string, std::string> variables;
  for (const std::string& entry : environment) {
    if (!absl::StartsWith(entry, "TOME_")) continue;
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(entry, absl::MaxSplits('=', 1));
    const std::string& name = parts.first;
    // The address that the client, tome, calls: a shell that runs both may well have it.
    if (name == "TOME_SERVER") continue;
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      // Kubernetes describes a Service called "tome" to every pod this way.
      const bool service = absl::StrContains(name, "_SERVICE_") || absl::StrContains(name, "_PORT");
      return Problem(name, "environment",
                     absl::StrCat("no such option", Suggestion(name, names),
                                  service ? "; a pod with enableServiceLinks: false is not given "
                                            "the variables of Services"
                                          : ""));
    }
    variables.insert(parts);
  }
  return variables;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, absl::string_view source) {
  std::string text;
  errno = 0;
  if (std::FILE* const file = std::fopen(path.c_str(), "rb"); file != nullptr) {
    std::array<char, 4096> part;
    while (const size_t size = std::fread(part.data(), 1, part.size(), file)) {
      text.append(part.data(), size);
    }
    const bool complete = std::ferror(file) == 0;
    const int error = errno;
    std::fclose(file);
    if (complete) return text;
    errno = error;
  }
  return Problem("config", source,
                 absl::StrCat("cannot read \"", path, "\": ", std::strerror(errno)));
}

absl::Status TakeModelSection(const ModelSection& section, AllGiven& all) {
  const std::string title = absl::StrCat("model.", section.name);
  if (absl::Status status = CheckModelName(section.name); !status.ok()) {
    return Problem(absl::StrCat("[", title, "]"), section.source, status.message());
  }
  for (const auto& [key, given] : section.keys) {
    const std::string name = absl::StrCat(title, ".", key);
    const ModelOption* option = FindModelOption(key);
    if (option == nullptr) {
      return Problem(name, given.source,
                     absl::StrCat("no such key", Suggestion(key, Names(ModelOptions())),
                                  "; a model has ", absl::StrJoin(Names(ModelOptions()), ", ")));
    }
    TOME_RETURN_IF_ERROR(CheckOneValue(given, name));
    ModelConfig scratch;
    if (absl::Status status = option->set(given.values.front(), scratch); !status.ok()) {
      return Problem(name, given.source, status.message());
    }
    if (key == "directory") {
      std::vector<Given>& models = all.options["model"];
      if (models.empty()) models.push_back({{}, given.source});
      models.back().values.push_back(absl::StrCat(section.name, "=", given.values.front()));
    }
  }
  all.model_sections.push_back(section);
  return absl::OkStatus();
}

absl::Status TakeFile(const std::string& path, absl::string_view source, AllGiven& all) {
  TOME_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, source));
  TOME_ASSIGN_OR_RETURN(const ConfigFile file, ParseConfigFile(text, path));
  for (const auto& [key, given] : file.keys) {
    if (FindOption(key) == nullptr) {
      return Problem(key, given.source,
                     absl::StrCat("no such key", Suggestion(key, Names(Options()))));
    }
    all.options[key].push_back(given);
  }
  for (const ModelSection& section : file.models) {
    TOME_RETURN_IF_ERROR(TakeModelSection(section, all));
  }
  return absl::OkStatus();
}

// All sources, the weakest first.
absl::StatusOr<AllGiven> TakeAll(const Flags& flags,
                                 const std::map<std::string, std::string>& variables) {
  AllGiven all;
  const auto config_variable = variables.find(EnvironmentOf("config"));
  if (const std::vector<std::string>& config = flags.values.at("config"); !config.empty()) {
    const Given given = {config, absl::StrCat("flag ", FlagOf("config"))};
    TOME_RETURN_IF_ERROR(CheckOneValue(given, "config"));
    TOME_RETURN_IF_ERROR(TakeFile(config.front(), given.source, all));
  } else if (config_variable != variables.end()) {
    const Given given = {{config_variable->second},
                         absl::StrCat("environment ", config_variable->first)};
    TOME_RETURN_IF_ERROR(CheckOneValue(given, "config"));
    TOME_RETURN_IF_ERROR(TakeFile(config_variable->second, given.source, all));
  }
  for (const Option& option : Options()) {
    std::vector<Given>& givens = all.options[option.name];
    if (const auto variable = variables.find(EnvironmentOf(option.name));
        variable != variables.end()) {
      Given& given = givens.emplace_back(Given{{}, absl::StrCat("environment ", variable->first)});
      if (option.repeatable) {
        given.values = absl::StrSplit(variable->second, ',');
      } else {
        given.values = {variable->second};
      }
    }
    if (const std::vector<std::string>& values = flags.values.at(option.name); !values.empty()) {
      givens.push_back({values, absl::StrCat("flag ", FlagOf(option.name))});
    }
  }
  return all;
}

// A value that a stronger source overrides is checked all the same.
absl::Status Apply(const Option& option, const std::vector<Given>& givens, ServerConfig& config) {
  for (const Given& given : givens) {
    if (option.repeatable) {
      config.models.clear();
      TOME_RETURN_IF_ERROR(CheckOneLine(given, option.name));
    } else {
      TOME_RETURN_IF_ERROR(CheckOneValue(given, option.name));
    }
    for (const std::string& value : given.values) {
      if (absl::Status status = option.set(value, config); !status.ok()) {
        return Problem(option.name, given.source, status.message());
      }
    }
  }
  return absl::OkStatus();
}

// Gives each model what the server has, then what its section says.
absl::Status ApplyModelSections(const AllGiven& all, ServerConfig& config, Sources& sources) {
  for (ModelConfig& model : config.models) {
    model.dtype = config.dtype;
    model.default_schedule = config.default_schedule;
    std::map<std::string, std::string>& model_sources = sources.models[model.name];
    model_sources = {{"directory", sources.options["model"]},
                     {"dtype", sources.options["dtype"]},
                     {"default-r", sources.options["default-r"]},
                     {"max-admitted-images", sources.options["max-admitted-images"]}};
    const auto section =
        std::find_if(all.model_sections.begin(), all.model_sections.end(),
                     [&](const ModelSection& other) { return other.name == model.name; });
    if (section == all.model_sections.end()) continue;
    for (const auto& [key, given] : section->keys) {
      ModelConfig changed = model;
      TOME_RETURN_IF_ERROR(FindModelOption(key)->set(given.values.front(), changed));
      // The flag and the environment beat the section's directory.
      if (key == "directory" && changed.directory != model.directory) continue;
      model = std::move(changed);
      model_sources[key] = given.source;
    }
  }
  for (const ModelSection& section : all.model_sections) {
    if (section.keys.count("directory") == 0 && sources.models.count(section.name) == 0) {
      return Problem(absl::StrCat("[model.", section.name, "]"), section.source,
                     absl::StrCat("no model has this name, add its directory or --model ",
                                  section.name, "=DIR"));
    }
  }
  return absl::OkStatus();
}

// Divides what no section takes among the models without a share of their own.
absl::Status ShareAdmittedImages(ServerConfig& config, const Sources& sources) {
  int left = config.max_admitted_images;
  int without = 0;
  for (const ModelConfig& model : config.models) {
    left -= model.max_admitted_images;
    if (model.max_admitted_images == 0) ++without;
  }
  if (left < without) {
    return Problem("max-admitted-images", sources.options.at("max-admitted-images"),
                   absl::StrCat(config.max_admitted_images, " images leave ", left, " to ", without,
                                " models after what the sections of others take"));
  }
  for (ModelConfig& model : config.models) {
    if (model.max_admitted_images == 0) model.max_admitted_images = left / without;
  }
  return absl::OkStatus();
}

class CrossChecks {
 public:
  CrossChecks(const ServerConfig& config, const Sources& sources)
      : config_(config), sources_(sources) {}

  absl::Status Run() const {
    if (config_.models.empty()) {
      return absl::InvalidArgumentError(
          "model: none is given, and none comes with this program: --model [NAME=]DIR, TOME_MODEL, "
          "or a section [model.NAME] of the --config file");
    }
    TOME_RETURN_IF_ERROR(CheckDtypes());
    TOME_RETURN_IF_ERROR(CheckAtMost("default-timeout", "maximum-timeout",
                                     config_.default_timeout <= config_.maximum_timeout));
    TOME_RETURN_IF_ERROR(CheckAtMost("max-batch-images", "max-admitted-images",
                                     config_.max_batch_images <= config_.max_admitted_images));
    TOME_RETURN_IF_ERROR(CheckAtMost("max-image-bytes", "max-message-bytes",
                                     config_.max_image_bytes <= config_.max_message_bytes));
    TOME_RETURN_IF_ERROR(CheckNeeds("tls-certificate-file", "tls-key-file"));
    TOME_RETURN_IF_ERROR(CheckNeeds("tls-key-file", "tls-certificate-file"));
    return CheckNeeds("tls-client-ca-file", "tls-certificate-file");
  }

 private:
  std::string Show(const std::string& option) const { return FindOption(option)->show(config_); }
  const std::string& Source(const std::string& option) const { return sources_.options.at(option); }

  absl::Status CheckDtypes() const {
    for (const ModelConfig& model : config_.models) {
      if (config_.device != "cpu" || model.dtype != "float16") continue;
      const std::string& source = sources_.models.at(model.name).at("dtype");
      return Problem("dtype", source,
                     absl::StrCat("\"float16\" needs a GPU, device (", Source("device"),
                                  ") is cpu, which computes in float32 or bfloat16"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckAtMost(const std::string& smaller, const std::string& larger,
                           bool holds) const {
    if (holds) return absl::OkStatus();
    return Problem(smaller, Source(smaller),
                   absl::StrCat(Show(smaller), " is more than ", larger, " (", Source(larger),
                                "), ", Show(larger)));
  }

  absl::Status CheckNeeds(const std::string& option, const std::string& needed) const {
    if (Show(option).empty() || !Show(needed).empty()) return absl::OkStatus();
    return Problem(option, Source(option),
                   absl::StrCat("\"", Show(option), "\" needs ", needed, ", which is not given"));
  }

  const ServerConfig& config_;
  const Sources& sources_;
};

// A line as in the --config file.
void AppendLine(std::string& out, absl::string_view key, const std::string& value,
                absl::string_view source) {
  const bool number =
      !value.empty() && std::all_of(value.begin(), value.end(), absl::ascii_isdigit);
  absl::StrAppend(&out, key, " = ", number ? value : QuoteForConfigFile(value), "  # ", source,
                  "\n");
}

std::string Report(const ServerConfig& config, const Sources& sources) {
  std::string out;
  for (const Option& option : Options()) {
    if (option.repeatable) continue;  // the models are sections
    AppendLine(out, option.name, option.show(config), sources.options.at(option.name));
  }
  for (const ModelConfig& model : config.models) {
    absl::StrAppend(&out, "\n[model.", QuoteForConfigFile(model.name), "]\n");
    for (const ModelOption& option : ModelOptions()) {
      AppendLine(out, option.name, option.show(model),
                 sources.models.at(model.name).at(option.name));
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                             const std::vector<std::string>& environment,
                                             const std::string& default_model) {
  CommandLine command_line;
  TOME_ASSIGN_OR_RETURN(const Flags flags, ParseFlags(arguments));
  if (flags.help) {
    command_line.print_and_exit = HelpText();
    return command_line;
  }
  if (flags.version) {
    command_line.print_and_exit = "tome-server " TOME_VERSION "\n";
    return command_line;
  }

  TOME_ASSIGN_OR_RETURN(const auto variables, TomeVariables(environment));
  TOME_ASSIGN_OR_RETURN(const AllGiven all, TakeAll(flags, variables));
  ServerConfig& config = command_line.config;
  Sources sources;
  for (const Option& option : Options()) {
    const std::vector<Given>& givens = all.options.at(option.name);
    TOME_RETURN_IF_ERROR(Apply(option, givens, config));
    sources.options[option.name] = givens.empty() ? "default" : givens.back().source;
  }
  if (config.models.empty() && !default_model.empty()) {
    TOME_RETURN_IF_ERROR(FindOption("model")->set(default_model, config));
  }
  TOME_RETURN_IF_ERROR(ApplyModelSections(all, config, sources));
  TOME_RETURN_IF_ERROR(CrossChecks(config, sources).Run());
  TOME_RETURN_IF_ERROR(ShareAdmittedImages(config, sources));
  if (flags.check_config) command_line.print_and_exit = Report(config, sources);
  return command_line;
}

}  // namespace tome
