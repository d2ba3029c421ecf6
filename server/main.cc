#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "server/app.h"
#include "server/base/log.h"
#include "server/base/thread_pool.h"
#include "server/config/server_config.h"

namespace tome {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongCommandLine = 2;

// SIGTERM, SIGINT and SIGHUP, blocked in the calling thread and all that it makes from now on, so
// that only SignalThread gets them. Call before there is another thread.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Waits for signals: SIGHUP calls `on_reload`, the first of the others `on_stop`, and the second
// ends the process where it is.
class SignalThread {
 public:
  SignalThread(const sigset_t& signals, std::function<void()> on_reload,
               std::function<void()> on_stop)
      : thread_([this, signals, on_reload = std::move(on_reload), on_stop = std::move(on_stop)] {
          SetThreadName("signals");
          Wait(signals, on_reload, on_stop);
        }) {}

  ~SignalThread() {
    over_.store(true);
    pthread_kill(thread_.native_handle(), SIGINT);
    thread_.join();
  }

 private:
  void Wait(const sigset_t& signals, const std::function<void()>& on_reload,
            const std::function<void()>& on_stop) {
    for (bool first = true;;) {
      int number = 0;
      sigwait(&signals, &number);
      if (over_.load()) return;
      if (number == SIGHUP) {
        // A server that stops needs no new version.
        if (!first) continue;
        LogInfo("looking for new versions of the models", {{"signal", "SIGHUP"}});
        on_reload();
        continue;
      }
      const char* name = number == SIGINT ? "SIGINT" : "SIGTERM";
      if (!first) {
        LogWarning("stopping at once, on a second signal", {{"signal", name}});
        _exit(128 + number);
      }
      LogInfo("stopping, a second signal stops at once", {{"signal", name}});
      on_stop();
      first = false;
    }
  }

  std::atomic<bool> over_ = false;
  std::thread thread_;
};

// The model that comes with the program, where `cmake --build` and the container image put it;
// empty if it is not there.
std::string DefaultModel() {
  std::error_code ignored;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::filesystem::path model =
      program.parent_path().parent_path() / "share/tome" / TOME_DEFAULT_MODEL;
  return std::filesystem::exists(model, ignored) ? model.string() : "";
}

int Run(const ServerConfig& config, const sigset_t& signals) {
  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(config.log_level, &level);
  SetLogLevel(level);
  LogFormat format = LogFormat::kText;
  ParseLogFormat(config.log_format, &format);
  SetLogFormat(format);

  absl::StatusOr<std::unique_ptr<App>> app = App::Create(config);
  if (!app.ok()) {
    LogError("cannot start", {{"reason", app.status().message()}});
    return kFailed;
  }
  const SignalThread signal_thread(
      signals, [&app] { (*app)->RequestReload(); }, [&app] { (*app)->RequestStop(); });
  if (absl::Status started = (*app)->Start(); !started.ok()) {
    LogError("cannot start", {{"reason", started.message()}});
    return kFailed;
  }
  (*app)->AwaitStop();
  (*app)->Drain();
  // An orchestrator starts a server that ended this way anew.
  const bool lost_devices = (*app)->LostDevices();
  // While the second signal still ends what might hang.
  app->reset();
  return lost_devices ? kFailed : 0;
}

int Main(int argc, char** argv) {
  const sigset_t signals = BlockSignals();
  // A client that hangs up is an error of one write, not the end of the server.
  signal(SIGPIPE, SIG_IGN);

  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  const absl::StatusOr<CommandLine> command_line =
      ParseCommandLine({argv + std::min(argc, 1), argv + argc}, environment, DefaultModel());
  if (!command_line.ok()) {
    const std::string reason(command_line.status().message());
    std::fprintf(stderr, "tome-server: %s\n", reason.c_str());
    return kWrongCommandLine;
  }
  if (!command_line->print_and_exit.empty()) {
    std::fputs(command_line->print_and_exit.c_str(), stdout);
    return 0;
  }
  return Run(command_line->config, signals);
}

}  // namespace
}  // namespace tome

int main(int argc, char** argv) { return tome::Main(argc, argv); }
