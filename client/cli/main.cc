#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include <CLI/CLI.hpp>

#include "client/cli/commands.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"

namespace tome::client {
namespace {

constexpr char kExamples[] = R"(
Examples:
  tome health
  tome models
  tome embed photos --r 8 --out photos.npy
  tome compare cat.jpg --r 0,4,8,13,16
  tome --server embed.example:443 --tls --token-file token embed cat.jpg

Exit code: 0 all done, 1 some failed (or the server refused, or is not serving), 2 wrong command
line, 3 no server answered, 130 interrupted.)";

void AddGlobalOptions(CLI::App& app, GlobalOptions& options) {
  app.add_option("--server", options.server, "HOST:PORT; several addresses of one name take turns")
      ->type_name("HOST:PORT")
      ->envname("TOME_SERVER")
      ->capture_default_str();
  app.add_flag("--tls", options.tls, "Encrypt, and trust the system's certificate authorities");
  app.add_option("--tls-ca", options.tls_ca, "Encrypt, and trust the authorities in this PEM file")
      ->type_name("FILE");
  CLI::Option* certificate =
      app.add_option("--tls-certificate", options.tls_certificate, "This client's own, PEM")
          ->type_name("FILE");
  CLI::Option* key =
      app.add_option("--tls-key", options.tls_key, "Of that certificate, PEM")->type_name("FILE");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--token-file", options.token_file, "Holds the bearer token that each call sends")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--timeout",
         [&options](const std::string& text) {
           absl::Duration timeout;
           if (!absl::ParseDuration(text, &timeout) || timeout <= absl::ZeroDuration()) {
             throw CLI::ValidationError(
                 "--timeout", absl::StrCat("'", text, "' is not a duration such as 30s or 500ms"));
           }
           options.timeout = timeout;
         },
         "Of each call, its retries included")
      ->type_name("DURATION")
      ->default_str("30s");
  app.add_flag("--json", options.json, "Print JSON, for a program to read");
}

int Main(int argc, char** argv) {
  CLI::App app("Image embeddings from vision transformers with Token Merging.", "tome");
  app.footer(kExamples);
  app.set_version_flag("--version", "tome " TOME_VERSION);
  app.require_subcommand(1);
  // Global options are understood behind the command, too.
  app.fallthrough();
  GlobalOptions global;
  AddGlobalOptions(app, global);
  ExitCode exit_code = kExitOk;
  AddEmbedCommand(app, global, exit_code);
  AddCompareCommand(app, global, exit_code);
  AddModelsCommand(app, global, exit_code);
  AddHealthCommand(app, global, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Zero is --help and --version.
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return exit_code;
}

}  // namespace
}  // namespace tome::client

int main(int argc, char** argv) {
  try {
    return tome::client::Main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "tome: " << error.what() << "\n";
    return tome::client::kExitFailed;
  }
}
