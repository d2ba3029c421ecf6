#include "client/cli/embed_files.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "client/cli/input_files.h"
#include "client/embed_stream.h"

namespace tome::client {
namespace {

using Answer = absl::StatusOr<Embedding>;

// One run. The calling thread reads, sends and writes; gRPC's threads only bring answers.
class Run {
 public:
  Run(Client& client, absl::FunctionRef<std::optional<std::string>()> next_file,
      const EmbedFilesOptions& options, RowWriter& writer)
      : client_(client),
        next_file_(next_file),
        options_(options),
        writer_(writer),
        next_(next_file_()) {
    StreamOptions stream;
    static_cast<EmbedOptions&>(stream) = options.embed;
    stream.window = options.concurrency;
    stream.message_bytes = options.message_bytes;
    stream_ = client.OpenStream(stream);
  }

  EmbedFilesResult EmbedAll(absl::FunctionRef<bool()> interrupted,
                            absl::FunctionRef<void(const Progress&)> progress) {
    for (;;) {
      if (interrupted()) BreakOff(absl::CancelledError("interrupted"));
      const int failed = static_cast<int>(result_.failed.size());
      progress({std::max(options_.files, result_.embedded + failed), result_.embedded, failed});
      switch (WaitForNextStep()) {
        case Step::kSend:
          SendNext();
          break;
        case Step::kWrite:
          WriteFirst();
          break;
        case Step::kLook:
          break;
        case Step::kEnd:
          stream_->Finish();
          return std::move(result_);
      }
    }
  }

 private:
  enum class Step { kSend, kWrite, kLook, kEnd };

  struct Row {
    std::string path;
    std::optional<Answer> answer;
  };

  // Rows between the one to be written next and the one to be sent next.
  size_t Window() const { return 4 * static_cast<size_t>(options_.concurrency); }

  Step WaitForNextStep() {
    std::unique_lock lock(mu_);
    Step step = Step::kLook;
    // Not for long: the caller has an eye on interrupts, which wake nobody.
    changed_.wait_for(lock, std::chrono::milliseconds(100), [&] {
      const bool all_sent = !result_.broken_off.ok() || !next_.has_value();
      if (!rows_.empty() && rows_.front().answer.has_value()) {
        step = Step::kWrite;
      } else if (all_sent) {
        step = rows_.empty() ? Step::kEnd : Step::kLook;
      } else if (unanswered_ < static_cast<size_t>(options_.concurrency) &&
                 rows_.size() < Window()) {
        step = Step::kSend;
      }
      return step != Step::kLook;
    });
    return step;
  }

  void SendNext() {
    absl::StatusOr<std::string> bytes = ReadImageFile(*next_, options_.file_bytes);
    size_t row;
    {
      std::lock_guard lock(mu_);
      row = first_ + rows_.size();
      rows_.push_back({.path = *std::move(next_), .answer = std::nullopt});
      ++unanswered_;
    }
    if (bytes.ok()) {
      stream_->Embed(EncodedImage{*std::move(bytes)}, std::nullopt,
                     [this, row](Answer answer) { SetAnswer(row, std::move(answer)); });
    } else {
      SetAnswer(row, bytes.status());
    }
    // Looking for the next one may take a while; this one is on its way meanwhile.
    next_ = next_file_();
  }

  void SetAnswer(size_t row, Answer answer) {
    std::lock_guard lock(mu_);
    rows_[row - first_].answer = std::move(answer);
    --unanswered_;
    // Under the lock: the last answer ends the run, and this object with it.
    changed_.notify_one();
  }

  void WriteFirst() {
    Row row;
    {
      std::lock_guard lock(mu_);
      row = std::move(rows_.front());
      rows_.pop_front();
      ++first_;
    }
    absl::Status status = row.answer->status();
    // Broken off by Shutdown: neither embedded nor failed.
    if (absl::IsCancelled(status) && !result_.broken_off.ok()) return;
    if (status.ok()) {
      if (!writable_) return;
      status = writer_.Write(row.path, **row.answer);
      if (status.ok()) {
        ++result_.embedded;
        return;
      }
      if (!absl::IsInvalidArgument(status)) {
        writable_ = false;
        return BreakOff(status);
      }
    }
    if (absl::IsUnavailable(status)) BreakOff(status);
    result_.failed.push_back({std::move(row.path), std::move(status)});
  }

  // The first reason stands.
  void BreakOff(const absl::Status& reason) {
    if (!result_.broken_off.ok()) return;
    result_.broken_off = reason;
    client_.Shutdown();
  }

  Client& client_;
  const absl::FunctionRef<std::optional<std::string>()> next_file_;
  const EmbedFilesOptions& options_;
  RowWriter& writer_;

  // The calling thread's own.
  std::optional<std::string> next_;  // file to send next
  EmbedFilesResult result_;
  bool writable_ = true;

  std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  size_t first_ = 0;  // number of rows_.front(), to be written next
  std::deque<Row> rows_;
  size_t unanswered_ = 0;  // of rows_

  // Last: its callbacks use the rest.
  std::unique_ptr<EmbedStream> stream_;
};

}  // namespace

EmbedFilesResult EmbedFiles(Client& client,
                            absl::FunctionRef<std::optional<std::string>()> next_file,
                            const EmbedFilesOptions& options, RowWriter& writer,
                            absl::FunctionRef<bool()> interrupted,
                            absl::FunctionRef<void(const Progress&)> progress) {
  return Run(client, next_file, options, writer).EmbedAll(interrupted, progress);
}

}  // namespace tome::client
