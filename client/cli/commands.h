#ifndef TOME_CLIENT_CLI_COMMANDS_H_
#define TOME_CLIENT_CLI_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/load_run.h"
#include "client/embedding.h"

namespace tome::client {

// What the options of each command say (command_line.cc has their names and help), and what it
// does.

struct EmbedCommand {
  std::vector<std::string> paths;
  bool recursive = false;
  std::string model;
  std::optional<Schedule> schedule;
  OutputSpec output;
  std::string out;      // FILE.npy or FILE.jsonl; empty: standard output
  bool resume = false;  // go on with `out` if it is there; otherwise it is replaced
  int concurrency = 8;
};
ExitCode RunEmbed(const GlobalOptions& global, const EmbedCommand& command);

struct SearchCommand {
  std::string query;
  std::string in;  // FILE.npy of an EmbedCommand
  int top = 10;
};
ExitCode RunSearch(const GlobalOptions& global, const SearchCommand& command);

struct CompareCommand {
  std::vector<std::string> paths;
  bool recursive = false;
  std::string model;
  std::vector<uint32_t> r = {0, 4, 8, 13, 16};  // 0 is compared with, whether it is here or not
  int repeat = 1;
};
ExitCode RunCompare(const GlobalOptions& global, const CompareCommand& command);

struct MapCommand {
  std::string image;
  std::string model;
  std::optional<Schedule> schedule;
  int block = 0;    // the map after this one, counted from 1; 0: after the last
  std::string out;  // FILE.png
};
ExitCode RunMap(const GlobalOptions& global, const MapCommand& command);

struct EvaluateCommand {
  std::string images;  // a folder
  std::string model;   // its name, or its checkpoint's directory
  std::vector<uint32_t> r = {0, 4, 8, 13, 16};
  std::vector<Schedule> more_schedules;
  bool labels = false;  // the folders in `images` are labels
  std::string csv;      // FILE.csv; empty: none
  std::string html;     // FILE.html; empty: none
};
ExitCode RunEvaluate(const GlobalOptions& global, const EvaluateCommand& command);

struct CalibrateCommand {
  std::string images;  // a folder
  std::string model;   // its name, or its checkpoint's directory
  std::vector<uint32_t> r = {0, 2, 4, 6, 8, 10, 12, 14, 16};
  std::string out;  // profile.json; empty: that in the checkpoint's directory
};
ExitCode RunCalibrate(const GlobalOptions& global, const CalibrateCommand& command);

struct BenchCommand {
  std::vector<std::string> paths;
  bool recursive = false;
  std::string model;
  LoadOptions load;
  bool stream = false;  // one EmbedStream call instead of an Embed call an image
  std::string out;      // a file for the result as JSON; empty: none
};
ExitCode RunBench(const GlobalOptions& global, const BenchCommand& command);

// An empty name: all models, a line each.
ExitCode RunModels(const GlobalOptions& global, const std::string& name);

ExitCode RunHealth(const GlobalOptions& global, const std::string& service);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_COMMANDS_H_
