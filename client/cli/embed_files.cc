#include "client/cli/embed_files.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "client/embed_stream.h"

namespace tome::client {
namespace {

using Answer = absl::StatusOr<Embedding>;

// One run. The calling thread reads, sends and writes; gRPC's threads only bring answers.
class Run {
 public:
  Run(Client& client, const std::vector<std::string>& files, const EmbedFilesOptions& options,
      RowWriter& writer)
      : client_(client), files_(files), options_(options), writer_(writer) {
    StreamOptions stream;
    static_cast<EmbedOptions&>(stream) = options.embed;
    stream.window = options.concurrency;
    stream_ = client.OpenStream(stream);
  }

  EmbedFilesResult EmbedAll(absl::FunctionRef<bool()> interrupted,
                            absl::FunctionRef<void(const Progress&)> progress) {
    for (;;) {
      if (interrupted()) BreakOff(absl::CancelledError("interrupted"));
      progress({static_cast<int>(files_.size()), result_.embedded,
                static_cast<int>(result_.failed.size())});
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

  // Rows between the one to be written next and the one to be sent next.
  size_t Window() const { return 4 * static_cast<size_t>(options_.concurrency); }

  Step WaitForNextStep() {
    std::unique_lock lock(mu_);
    Step step = Step::kLook;
    // Not for long: the caller has an eye on interrupts, which wake nobody.
    changed_.wait_for(lock, std::chrono::milliseconds(100), [&] {
      const bool all_sent = !result_.broken_off.ok() || next_ == files_.size();
      if (!rows_.empty() && rows_.front().has_value()) {
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
    const size_t file = next_++;
    {
      std::lock_guard lock(mu_);
      rows_.emplace_back();
      ++unanswered_;
    }
    absl::StatusOr<std::string> bytes = ReadImageFile(files_[file], options_.file_bytes);
    if (!bytes.ok()) return SetAnswer(file, bytes.status());
    stream_->Embed(EncodedImage{*std::move(bytes)}, std::nullopt,
                   [this, file](Answer answer) { SetAnswer(file, std::move(answer)); });
  }

  void SetAnswer(size_t file, Answer answer) {
    std::lock_guard lock(mu_);
    rows_[file - first_] = std::move(answer);
    --unanswered_;
    // Under the lock: the last answer ends the run, and this object with it.
    changed_.notify_one();
  }

  void WriteFirst() {
    std::optional<Answer> answer;
    size_t file;
    {
      std::lock_guard lock(mu_);
      answer = std::move(rows_.front());
      rows_.pop_front();
      file = first_++;
    }
    absl::Status status = answer->status();
    // Broken off by Shutdown: neither embedded nor failed.
    if (absl::IsCancelled(status) && !result_.broken_off.ok()) return;
    if (status.ok()) {
      if (!writable_) return;
      status = writer_.Write(files_[file], **answer);
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
    result_.failed.push_back({files_[file], std::move(status)});
  }

  // The first reason stands.
  void BreakOff(const absl::Status& reason) {
    if (!result_.broken_off.ok()) return;
    result_.broken_off = reason;
    client_.Shutdown();
  }

  Client& client_;
  const std::vector<std::string>& files_;
  const EmbedFilesOptions& options_;
  RowWriter& writer_;

  // The calling thread's own.
  size_t next_ = 0;  // file to send next
  EmbedFilesResult result_;
  bool writable_ = true;

  std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  size_t first_ = 0;  // file of rows_.front(), to be written next
  std::deque<std::optional<Answer>> rows_;
  size_t unanswered_ = 0;  // of rows_

  // Last: its callbacks use the rest.
  std::unique_ptr<EmbedStream> stream_;
};

}  // namespace

EmbedFilesResult EmbedFiles(Client& client, const std::vector<std::string>& files,
                            const EmbedFilesOptions& options, RowWriter& writer,
                            absl::FunctionRef<bool()> interrupted,
                            absl::FunctionRef<void(const Progress&)> progress) {
  return Run(client, files, options, writer).EmbedAll(interrupted, progress);
}

}  // namespace tome::client
