#ifndef TOME_TESTS_TESTING_OUTCOME_H_
#define TOME_TESTS_TESTING_OUTCOME_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "server/base/mutex.h"

namespace tome {

// Where the answer to one call arrives. Copies share it. Thread-safe.
template <typename T>
class Outcome {
 public:
  // To be handed to the call. A second answer fails the test.
  absl::AnyInvocable<void(absl::StatusOr<T>)> Callback() const {
    return [state = state_](absl::StatusOr<T> answer) {
      MutexLock lock(state->mu);
      EXPECT_FALSE(state->answer.has_value()) << "answered twice, now with " << answer.status();
      state->answer = std::move(answer);
      state->answered.NotifyAll();
    };
  }

  bool IsAnswered() const {
    MutexLock lock(state_->mu);
    return state_->answer.has_value();
  }

  // Waits for the answer.
  absl::StatusOr<T> Await() const {
    MutexLock lock(state_->mu);
    while (!state_->answer.has_value()) state_->answered.Wait(state_->mu);
    return *state_->answer;
  }

 private:
  struct State {
    Mutex mu;
    Condition answered;
    std::optional<absl::StatusOr<T>> answer ABSL_GUARDED_BY(mu);
  };

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace tome

#endif  // TOME_TESTS_TESTING_OUTCOME_H_
