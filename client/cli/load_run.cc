#include "client/cli/load_run.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace tome::client {
namespace {

class SteadyClock final : public LoadClock {
 public:
  absl::Time Now() const override {
    return absl::UnixEpoch() +
           absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  void WaitUntil(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                 absl::Time deadline) override {
    const auto since_epoch = absl::ToChronoNanoseconds(deadline - absl::UnixEpoch());
    changed.wait_until(lock, std::chrono::steady_clock::time_point(since_epoch));
  }
};

// One run. The calling thread sends; the target's threads bring answers.
class Run {
 public:
  Run(LoadTarget& target, LoadClock& clock, const LoadOptions& options)
      : target_(target),
        clock_(clock),
        options_(options),
        begin_(clock.Now()),
        end_(begin_ + options.warm_up + options.max_duration),
        record_(begin_ + options.warm_up, options.window,
                options.rate ? LoadRecord::Steady::kMedianLatency : LoadRecord::Steady::kRate) {
    if (options.rate) arrivals_.emplace(*options.rate, options.seed);
    if (!options.r.empty()) mix_.emplace(options.r, options.seed);
    if (arrivals_) next_arrival_ = begin_ + arrivals_->Next();
  }

  LoadResult Measure(absl::FunctionRef<bool()> interrupted,
                     absl::FunctionRef<void(const LoadWindow&)> window_is_whole) {
    bool broken_off = false;
    std::unique_lock lock(mu_);
    for (;;) {
      const absl::Time now = clock_.Now();
      LookAtWindows(now, window_is_whole);
      broken_off = interrupted();
      if (steady_ || broken_off || AllSent(now)) break;
      if (const std::optional<absl::Time> due = NextDue(now)) {
        Send(*due, lock);
      } else {
        WaitForNextStep(now, lock);
      }
    }
    if (broken_off) {
      lock.unlock();
      target_.Cancel();
      lock.lock();
    }
    while (under_way_ > 0) clock_.WaitUntil(ended_, lock, absl::InfiniteFuture());
    if (!broken_off) LookAtWindows(clock_.Now(), window_is_whole);
    return {.record = std::move(record_),
            .first_window = std::max(windows_ - LoadRecord::kSteadyWindows, 0),
            .end_window = windows_,
            .steady = steady_,
            .interrupted = broken_off};
  }

 private:
  // Tells those that have become whole, up to the first three that are steady.
  void LookAtWindows(absl::Time now, absl::FunctionRef<void(const LoadWindow&)> window_is_whole) {
    // An image that is due but not sent yet keeps its window open.
    const absl::Time sent_until = arrivals_ ? std::min(now, next_arrival_) : now;
    const int whole = record_.WholeWindows(std::min(sent_until, end_));
    while (windows_ < whole && !steady_) {
      window_is_whole(record_.Window(windows_++));
      steady_ = record_.IsSteady(windows_);
    }
  }

  // Of an open loop also what was held up and is sent after the end.
  bool AllSent(absl::Time now) const {
    return now >= end_ && (!arrivals_ || next_arrival_ >= end_);
  }

  // When the image that can be sent now was due, if there is one.
  std::optional<absl::Time> NextDue(absl::Time now) const {
    if (!arrivals_) {
      return under_way_ < options_.concurrency ? std::optional(now) : std::nullopt;
    }
    return next_arrival_ <= now && under_way_ < kMostImagesUnderWay ? std::optional(next_arrival_)
                                                                    : std::nullopt;
  }

  void WaitForNextStep(absl::Time now, std::unique_lock<std::mutex>& lock) {
    // Not for long: nobody wakes this thread for an interrupt or the end of a window.
    absl::Time wake = now + absl::Milliseconds(100);
    if (end_ > now) wake = std::min(wake, end_);
    if (arrivals_ && next_arrival_ > now) wake = std::min(wake, next_arrival_);
    clock_.WaitUntil(ended_, lock, wake);
  }

  void Send(absl::Time due, std::unique_lock<std::mutex>& lock) {
    const size_t number = record_.Sent(due);
    ++under_way_;
    if (arrivals_) next_arrival_ = begin_ + arrivals_->Next();
    std::optional<Schedule> schedule;
    if (mix_) schedule = ConstantSchedule{mix_->Next()};
    lock.unlock();
    target_.Send(
        static_cast<int64_t>(number), std::move(schedule),
        [this, number](const absl::StatusOr<Embedding>& embedding) { Ended(number, embedding); });
    lock.lock();
  }

  void Ended(size_t number, const absl::StatusOr<Embedding>& embedding) {
    const absl::Time now = clock_.Now();
    std::lock_guard lock(mu_);
    record_.Ended(number, now, embedding.status().code(),
                  embedding.ok() ? embedding->timing : Timing());
    --under_way_;
    // Under the lock: the last answer ends the run, and this object with it.
    ended_.notify_one();
  }

  LoadTarget& target_;
  LoadClock& clock_;
  const LoadOptions& options_;
  const absl::Time begin_;
  const absl::Time end_;  // nothing is due from here on

  // The calling thread's own.
  std::optional<PoissonArrivals> arrivals_;
  absl::Time next_arrival_;
  std::optional<RMix> mix_;
  int windows_ = 0;  // told so far
  bool steady_ = false;

  std::mutex mu_;
  std::condition_variable ended_;
  // Guarded by mu_.
  LoadRecord record_;
  int under_way_ = 0;
};

}  // namespace

LoadClock& LoadClock::Steady() {
  static SteadyClock& clock = *new SteadyClock;
  return clock;
}

LoadResult RunLoad(LoadTarget& target, LoadClock& clock, const LoadOptions& options,
                   absl::FunctionRef<bool()> interrupted,
                   absl::FunctionRef<void(const LoadWindow&)> window_is_whole) {
  return Run(target, clock, options).Measure(interrupted, window_is_whole);
}

}  // namespace tome::client
