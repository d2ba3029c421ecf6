#ifndef TOME_SERVER_CONFIG_SERVER_CONFIG_H_
#define TOME_SERVER_CONFIG_SERVER_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/merge/merge_schedule.h"

namespace tome {

// One served model: --model [NAME=]DIR, or a [model.NAME] section of the --config file.
struct ModelConfig {
  std::string name;                // the directory's last component if none is given
  std::string directory;           // of config.json and model.safetensors; not opened here
  std::string dtype;               // the server's unless the model's section says otherwise
  MergeSchedule default_schedule;  // likewise (default-r)
  // The model's share of the server's: what is left by the sections that name theirs, divided
  // equally, unless its section says otherwise.
  int max_admitted_images = 0;
};

// Everything that can be set, with its default. Each option is defined once (server_config.cc),
// which gives its flag (--listen), environment variable (TOME_LISTEN) and key of the --config file
// (listen).
struct ServerConfig {
  std::vector<ModelConfig> models;
  std::string listen = "127.0.0.1:50051";
  std::string metrics_listen = "127.0.0.1:9464";  // empty: no metrics endpoint
  std::string device = "cpu";                     // "cuda", "cuda:N", "cuda:all"
  std::string cuda_module;  // a file; empty: libtome_cuda.so beside the program
  int cuda_graphs = 64;     // of a model on a GPU
  std::string dtype = "auto";
  MergeSchedule default_schedule;                          // --default-r
  absl::Duration model_poll_interval = absl::Seconds(10);  // 0: directories are not looked at

  int compute_threads = 0;  // 0: the cores this process may use (affinity and cgroup quota)
  int decode_threads = 0;   // 0: the same
  int max_batch_images = 32;
  int max_batch_tokens = 8192;
  absl::Duration max_batch_delay = absl::ZeroDuration();
  int max_admitted_images = 256;
  int max_stream_images = 64;

  absl::Duration default_timeout = absl::Seconds(30);
  absl::Duration maximum_timeout = absl::Minutes(5);
  absl::Duration drain_delay = absl::Seconds(5);
  absl::Duration drain_grace = absl::Seconds(25);

  int64_t max_image_bytes = 20 << 20;
  int64_t max_image_pixels = 50'000'000;
  int max_image_side = 16'384;
  int max_jpeg_scans = 64;
  int max_image_chunks = 16'384;
  int64_t max_message_bytes = 64 << 20;
  int64_t max_receive_bytes = 1 << 30;
  int max_connection_calls = 1024;

  absl::Duration keepalive_time = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  absl::Duration min_ping_interval = absl::Seconds(10);
  absl::Duration max_connection_age = absl::ZeroDuration();  // 0: none
  absl::Duration max_connection_age_grace = absl::Minutes(5);

  // All empty: plain text. A certificate needs its key; a client CA makes client certificates
  // mandatory.
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string tls_client_ca_file;
  // One bearer token a line; a call must carry "authorization: Bearer TOKEN". Empty: no
  // authentication.
  std::string auth_tokens_file;

  std::string log_level = "info";
  std::string log_format = "text";
};

// How the command line was answered.
struct CommandLine {
  ServerConfig config;
  // Set where the program is to print this on standard output and stop with status 0: --help,
  // --version and --check-config, which lists each effective value with its source (flag,
  // environment, file, default).
  std::string print_and_exit;
};

// Reads flags, then the environment, then the --config file, in that precedence, and checks each
// value and all of them together. INVALID_ARGUMENT with one line that names the option, its source,
// the value and what is allowed; an unknown flag, TOME_ variable, key or section is an error, too.
//   arguments    without the program's name
//   environment  "NAME=value" entries; only TOME_* ones are read
//   default_model  directory of the model to serve where none is given; empty: there is none
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                             const std::vector<std::string>& environment,
                                             const std::string& default_model = "");

}  // namespace tome

#endif  // TOME_SERVER_CONFIG_SERVER_CONFIG_H_
