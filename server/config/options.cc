#include "server/config/options.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/config/values.h"

namespace tome {
namespace {

// What every option has, whatever its type.
struct Naming {
  const char* name;
  const char* group;
  const char* value;
  const char* help;
};

Option Named(const Naming& naming) {
  Option option;
  option.name = naming.name;
  option.group = naming.group;
  option.value = naming.value;
  option.help = naming.help;
  return option;
}

Option Number(const Naming& naming, int ServerConfig::*field, int lowest, int highest) {
  Option option = Named(naming);
  option.set = [=](absl::string_view text, ServerConfig& config) -> absl::Status {
    TOME_ASSIGN_OR_RETURN(const int64_t number, ParseInteger(text, lowest, highest));
    config.*field = static_cast<int>(number);
    return absl::OkStatus();
  };
  option.show = [=](const ServerConfig& config) { return absl::StrCat(config.*field); };
  return option;
}

Option LargeNumber(const Naming& naming, int64_t ServerConfig::*field, int64_t lowest,
                   int64_t highest) {
  Option option = Named(naming);
  option.set = [=](absl::string_view text, ServerConfig& config) -> absl::Status {
    TOME_ASSIGN_OR_RETURN(config.*field, ParseInteger(text, lowest, highest));
    return absl::OkStatus();
  };
  option.show = [=](const ServerConfig& config) { return absl::StrCat(config.*field); };
  return option;
}

Option Bytes(const Naming& naming, int64_t ServerConfig::*field, int64_t lowest, int64_t highest) {
  Option option = Named(naming);
  option.set = [=](absl::string_view text, ServerConfig& config) -> absl::Status {
    TOME_ASSIGN_OR_RETURN(config.*field, ParseBytes(text, lowest, highest));
    return absl::OkStatus();
  };
  option.show = [=](const ServerConfig& config) { return FormatBytes(config.*field); };
  return option;
}

Option Duration(const Naming& naming, absl::Duration ServerConfig::*field, absl::Duration lowest,
                absl::Duration highest) {
  Option option = Named(naming);
  option.set = [=](absl::string_view text, ServerConfig& config) -> absl::Status {
    TOME_ASSIGN_OR_RETURN(config.*field, ParseDuration(text, lowest, highest));
    return absl::OkStatus();
  };
  option.show = [=](const ServerConfig& config) { return absl::FormatDuration(config.*field); };
  return option;
}

Option Text(const Naming& naming, std::string ServerConfig::*field,
            const std::function<absl::Status(absl::string_view)>& check) {
  Option option = Named(naming);
  option.set = [=](absl::string_view text, ServerConfig& config) -> absl::Status {
    TOME_RETURN_IF_ERROR(check(text));
    config.*field = std::string(text);
    return absl::OkStatus();
  };
  option.show = [=](const ServerConfig& config) { return config.*field; };
  return option;
}

absl::Status Anything(absl::string_view) { return absl::OkStatus(); }

absl::Status CheckAddressOrEmpty(absl::string_view text) {
  return text.empty() ? absl::OkStatus() : CheckAddress(text);
}

absl::Status CheckDevice(absl::string_view text) {
  absl::string_view gpu = text;
  int number = 0;
  if (text == "cpu" || text == "cuda" || text == "cuda:all") return absl::OkStatus();
  if (absl::ConsumePrefix(&gpu, "cuda:") && !gpu.empty() &&
      std::all_of(gpu.begin(), gpu.end(), absl::ascii_isdigit) && absl::SimpleAtoi(gpu, &number)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a device, use cpu, cuda, cuda:N or cuda:all"));
}

absl::Status CheckDtype(absl::string_view text) {
  for (const char* dtype : {"auto", "float32", "float16", "bfloat16"}) {
    if (text == dtype) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a dtype, use auto, float32, float16 or bfloat16"));
}

absl::Status CheckLogLevel(absl::string_view text) {
  LogLevel level;
  if (ParseLogLevel(text, &level)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not one of debug, info, warning and error"));
}

absl::Status CheckLogFormat(absl::string_view text) {
  LogFormat format;
  if (ParseLogFormat(text, &format)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not one of text and json"));
}

// Fills `model` from "[NAME=]DIR". A directory that holds a = itself needs the NAME.
absl::Status ParseModel(absl::string_view text, ModelConfig& model) {
  const size_t equals = text.find('=');
  absl::string_view name;
  absl::string_view directory = text;
  if (equals != absl::string_view::npos) {
    name = text.substr(0, equals);
    directory = text.substr(equals + 1);
  } else {
    name = directory;
    while (absl::ConsumeSuffix(&name, "/")) continue;
    const size_t slash = name.rfind('/');
    if (slash != absl::string_view::npos) name.remove_prefix(slash + 1);
  }
  if (directory.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" names no directory, expected [NAME=]DIR"));
  }
  if (name.empty() || name == "." || name == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" gives the model no name, write NAME=", directory));
  }
  TOME_RETURN_IF_ERROR(CheckModelName(name));
  model.name = std::string(name);
  model.directory = std::string(directory);
  return absl::OkStatus();
}

Option Models(const Naming& naming) {
  Option option = Named(naming);
  option.repeatable = true;
  option.set = [](absl::string_view text, ServerConfig& config) -> absl::Status {
    ModelConfig model;
    TOME_RETURN_IF_ERROR(ParseModel(text, model));
    for (const ModelConfig& other : config.models) {
      if (other.name == model.name) {
        return absl::InvalidArgumentError(
            absl::StrCat("two models are named \"", model.name, "\", from ", other.directory,
                         " and ", model.directory, "; give one another name with NAME=DIR"));
      }
    }
    config.models.push_back(std::move(model));
    return absl::OkStatus();
  };
  option.show = [](const ServerConfig& config) {
    return absl::StrJoin(config.models, ",", [](std::string* out, const ModelConfig& model) {
      absl::StrAppend(out, model.name, "=", model.directory);
    });
  };
  return option;
}

Option DefaultSchedule(const Naming& naming) {
  Option option = Named(naming);
  option.set = [](absl::string_view text, ServerConfig& config) -> absl::Status {
    TOME_ASSIGN_OR_RETURN(config.default_schedule, ParseSchedule(text));
    return absl::OkStatus();
  };
  option.show = [](const ServerConfig& config) { return FormatSchedule(config.default_schedule); };
  return option;
}

std::vector<Option> MakeOptions() {
  constexpr int kMostThreads = 1024;
  constexpr int kMostImages = 1 << 16;
  constexpr int kMostTokens = 1 << 24;
  constexpr int64_t kMostPixels = int64_t{1} << 32;
  // JPEG's own limit.
  constexpr int kLongestSide = 65'535;
  constexpr int kMostScans = 1000;
  constexpr int kMostGraphs = 10'000;
  constexpr int kMostChunks = 1 << 24;
  // gRPC counts a message's bytes in an int.
  constexpr int64_t kMostBytes = int64_t{2047} << 20;
  const absl::Duration none = absl::ZeroDuration();
  const absl::Duration second = absl::Seconds(1);
  const absl::Duration day = absl::Hours(24);

  using C = ServerConfig;
  return {
      Models(
          {"model", "Models", "[NAME=]DIR",
           "A checkpoint to serve: a directory with config.json and model.safetensors. NAME is "
           "what requests call it, by default the last part of DIR. Repeat the flag for "
           "several; the environment separates them by commas. None: the model that comes with the "
           "program."}),
      Text({"device", "Models", "DEVICE",
            "Where to compute: cpu, cuda (the first GPU), cuda:N or cuda:all, which serves each "
            "model on every GPU."},
           &C::device, CheckDevice),
      Text(
          {"dtype", "Models", "DTYPE",
           "What to compute in: auto (bfloat16 where the processor or GPU has instructions for it, "
           "else float32), float32, bfloat16, or on GPUs float16."},
          &C::dtype, CheckDtype),
      Text({"cuda-module", "Models", "FILE",
            "libtome_cuda.so, the engine on GPUs. Empty: beside this program."},
           &C::cuda_module, Anything),
      Number(
          {"cuda-graphs", "Models", "N",
           "Batch plans that recur, kept on a GPU as CUDA graphs, which launch faster. 0: none."},
          &C::cuda_graphs, 0, kMostGraphs),
      DefaultSchedule(
          {"default-r", "Models", "R",
           "How many token pairs each block merges where a request does not say. 0 is the exact "
           "model. Also linear:R:INFLECTION (-1 falls from 2R to 0, 1 rises) and "
           "blocks:R,R,..."}),
      Duration({"model-poll-interval", "Models", "DURATION",
                "How often to look whether a model's directory has changed; a new version replaces "
                "the old one without a failed call. 0: only on SIGHUP."},
               &C::model_poll_interval, none, day),

      Text({"listen", "Addresses", "HOST:PORT", "Where gRPC listens. [::]:50051 is every address."},
           &C::listen, CheckAddress),
      Text({"metrics-listen", "Addresses", "HOST:PORT",
            "Where Prometheus finds /metrics: an IPv4 address or a name. Empty: nowhere."},
           &C::metrics_listen, CheckAddressOrEmpty),

      Number({"compute-threads", "Threads and batches", "N",
              "Threads of the engine. 0: the cores this process may use."},
             &C::compute_threads, 0, kMostThreads),
      Number({"decode-threads", "Threads and batches", "N",
              "Threads that decode and resize images. 0: the cores this process may use."},
             &C::decode_threads, 0, kMostThreads),
      Number({"max-batch-images", "Threads and batches", "N", "Images in one batch at most."},
             &C::max_batch_images, 1, kMostImages),
      Number({"max-batch-tokens", "Threads and batches", "N",
              "Tokens in one batch at most, before merging. One image always fits."},
             &C::max_batch_tokens, 1, kMostTokens),
      Duration({"max-batch-delay", "Threads and batches", "DURATION",
                "How long the first image of a batch waits for company. 0: an idle engine starts "
                "at once."},
               &C::max_batch_delay, none, absl::Seconds(10)),
      Number({"max-admitted-images", "Threads and batches", "N",
              "Images in the server at once, from arrival to answer. More are refused with a hint "
              "when to retry."},
             &C::max_admitted_images, 1, kMostImages),
      Number({"max-stream-images", "Threads and batches", "N",
              "Images of one EmbedStream at once, from being read to their answers' being sent; "
              "then it is not read from."},
             &C::max_stream_images, 1, kMostImages),

      Duration({"default-timeout", "Deadlines and drain", "DURATION",
                "The deadline of a call that brings none."},
               &C::default_timeout, absl::Milliseconds(1), day),
      Duration({"maximum-timeout", "Deadlines and drain", "DURATION",
                "A call's deadline is cut to this."},
               &C::maximum_timeout, absl::Milliseconds(1), day),
      Duration({"drain-delay", "Deadlines and drain", "DURATION",
                "How long the server goes on accepting after SIGTERM, with its health already "
                "NOT_SERVING. Longer than the load balancer's probe period."},
               &C::drain_delay, none, day),
      Duration(
          {"drain-grace", "Deadlines and drain", "DURATION", "How long calls then have to finish."},
          &C::drain_grace, none, day),

      Bytes({"max-image-bytes", "Limits of a request", "BYTES", "Of one encoded image."},
            &C::max_image_bytes, 1, kMostBytes),
      LargeNumber({"max-image-pixels", "Limits of a request", "N",
                   "Height times width of one image, by its header."},
                  &C::max_image_pixels, 1, kMostPixels),
      Number({"max-image-side", "Limits of a request", "N",
              "Height and width of one image, by its header."},
             &C::max_image_side, 1, kLongestSide),
      Number({"max-jpeg-scans", "Limits of a request", "N",
              "Scans of a progressive JPEG: each costs a pass over all pixels."},
             &C::max_jpeg_scans, 1, kMostScans),
      Number({"max-image-chunks", "Limits of a request", "N", "Chunks of a PNG or WebP file."},
             &C::max_image_chunks, 1, kMostChunks),
      Bytes({"max-message-bytes", "Limits of a request", "BYTES", "Of one gRPC message."},
            &C::max_message_bytes, 1, kMostBytes),
      Bytes(
          {"max-receive-bytes", "Limits of a request", "BYTES",
           "Of what is received and not yet admitted, on all connections: half of it for messages "
           "that are not whole, beyond which connections are ended (a moment late), half for "
           "images of streams that wait for a place, beyond which they are answered UNAVAILABLE. "
           "Neither half is ever less than twice max-message-bytes."},
          &C::max_receive_bytes, 1, int64_t{1} << 40),

      Number({"max-connection-calls", "Connections", "N",
              "Calls of one connection at once; more wait at the client."},
             &C::max_connection_calls, 1, 1 << 20),
      Duration({"keepalive-time", "Connections", "DURATION",
                "After so long without a word from a client it is pinged."},
               &C::keepalive_time, second, day),
      Duration({"keepalive-timeout", "Connections", "DURATION",
                "A ping that is not answered for so long ends the connection."},
               &C::keepalive_timeout, second, day),
      Duration({"min-ping-interval", "Connections", "DURATION",
                "Clients may ping no more often, with calls or without; the third ping too early "
                "ends the connection."},
               &C::min_ping_interval, none, day),
      Duration(
          {"max-connection-age", "Connections", "DURATION",
           "Clients are told to connect anew after so long, give or take a tenth, so that load "
           "spreads to new servers. 0: never."},
          &C::max_connection_age, none, absl::Hours(24 * 365)),
      Duration({"max-connection-age-grace", "Connections", "DURATION",
                "How long the calls of an aged connection then have to finish."},
               &C::max_connection_age_grace, second, day),

      Text({"tls-certificate-file", "Security", "FILE",
            "PEM certificate chain of the server. Empty: plain text."},
           &C::tls_certificate_file, Anything),
      Text({"tls-key-file", "Security", "FILE", "PEM private key of the certificate."},
           &C::tls_key_file, Anything),
      Text({"tls-client-ca-file", "Security", "FILE",
            "PEM certificates that a client's own must be signed by. Empty: clients need none."},
           &C::tls_client_ca_file, Anything),
      Text({"auth-tokens-file", "Security", "FILE",
            "Bearer tokens, one a line, of which a call must carry one. Empty: none needed."},
           &C::auth_tokens_file, Anything),

      Text({"log-level", "Log", "LEVEL", "debug, info, warning or error."}, &C::log_level,
           CheckLogLevel),
      Text({"log-format", "Log", "FORMAT", "text, or json: one object a line."}, &C::log_format,
           CheckLogFormat),
  };
}

std::vector<ModelOption> MakeModelOptions() {
  constexpr int kMostImages = 1 << 16;
  return {
      {.name = "directory",
       .set = [](absl::string_view text, ModelConfig& model) -> absl::Status {
         if (text.empty()) return absl::InvalidArgumentError("\"\" is not a directory");
         model.directory = std::string(text);
         return absl::OkStatus();
       },
       .show = [](const ModelConfig& model) { return model.directory; }},
      {.name = "dtype",
       .set = [](absl::string_view text, ModelConfig& model) -> absl::Status {
         TOME_RETURN_IF_ERROR(CheckDtype(text));
         model.dtype = std::string(text);
         return absl::OkStatus();
       },
       .show = [](const ModelConfig& model) { return model.dtype; }},
      {.name = "default-r",
       .set = [](absl::string_view text, ModelConfig& model) -> absl::Status {
         TOME_ASSIGN_OR_RETURN(model.default_schedule, ParseSchedule(text));
         return absl::OkStatus();
       },
       .show = [](const ModelConfig& model) { return FormatSchedule(model.default_schedule); }},
      {.name = "max-admitted-images",
       .set = [](absl::string_view text, ModelConfig& model) -> absl::Status {
         TOME_ASSIGN_OR_RETURN(const int64_t images, ParseInteger(text, 1, kMostImages));
         model.max_admitted_images = static_cast<int>(images);
         return absl::OkStatus();
       },
       .show = [](const ModelConfig& model) { return absl::StrCat(model.max_admitted_images); }},
  };
}

// Letters to insert, delete or replace to get from `a` to `b` (Levenshtein).
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

const std::vector<Option>& Options() {
  static const std::vector<Option>& options = *new std::vector<Option>(MakeOptions());
  return options;
}

const std::vector<ModelOption>& ModelOptions() {
  static const std::vector<ModelOption>& options =
      *new std::vector<ModelOption>(MakeModelOptions());
  return options;
}

std::string FlagOf(absl::string_view option) { return absl::StrCat("--", option); }

std::string EnvironmentOf(absl::string_view option) {
  return absl::StrCat("TOME_", absl::AsciiStrToUpper(absl::StrReplaceAll(option, {{"-", "_"}})));
}

std::string Suggestion(absl::string_view unknown, const std::vector<std::string>& names) {
  size_t nearest = std::numeric_limits<size_t>::max();
  const std::string* best = nullptr;
  for (const std::string& name : names) {
    const size_t distance = EditDistance(unknown, name);
    if (distance < nearest) {
      nearest = distance;
      best = &name;
    }
  }
  // Further away than a third of its letters it is another word, not a slip.
  if (best == nullptr || nearest > best->size() / 3) return "";
  return absl::StrCat("; did you mean ", *best, "?");
}

}  // namespace tome
