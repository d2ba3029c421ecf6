#include "server/model_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_engine.h"
#include "tests/testing/gate.h"
#include "tests/testing/metric_value.h"
#include "tests/testing/outcome.h"
#include "tests/testing/temporary_directory.h"

namespace tome {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kPoll = absl::Seconds(10);

// A store of fake engines: the digest of one is what its directory's file "weights" says, and one
// that says "bad" cannot be loaded.
class ModelStoreTest : public ::testing::Test {
 protected:
  ~ModelStoreTest() override {
    store_.reset();
    decode_pool_.reset();
  }

  std::string Directory(const std::string& model) const { return root_ / model; }

  // A new file under the name, as `mv` puts it there.
  void Write(const std::string& model, const std::string& weights) {
    std::filesystem::rename(root_.Write(model + "/weights.new", weights),
                            Directory(model) + "/weights");
  }

  void MakeStore(const std::vector<std::string>& models, absl::Duration poll = kPoll) {
    ServerConfig config;
    config.model_poll_interval = poll;
    for (const std::string& name : models) {
      config.models.push_back({.name = name,
                               .directory = Directory(name),
                               .dtype = "float32",
                               .default_schedule = {},
                               .max_admitted_images = 4});
    }
    store_ = std::make_unique<ModelStore>(
        config, [this](const ModelConfig& model) { return Load(model); },
        [](const std::string& model) { ADD_FAILURE() << model << " has lost its engine"; },
        service_, clock_, metrics_);
  }

  absl::StatusOr<ModelStore::Engines> Load(const ModelConfig& model) {
    std::string weights;
    std::ifstream(model.directory + "/weights") >> weights;
    if (weights == "bad") return absl::InvalidArgumentError("weights: bad");
    ModelFacts facts = FakeEngine::SmallModel();
    facts.weights_digest = weights;
    auto engine = std::make_unique<FakeEngine>(facts);
    if (on_run_) engine->OnRun(on_run_);
    ModelStore::Engines engines;
    engines.push_back(std::move(engine));
    return engines;
  }

  Outcome<EmbedAnswer> Embed(const std::string& model) {
    EmbedCall call;
    call.model = model;
    call.input = ModelPixelsInput{{.height = 8, .width = 8, .pixels = pixels_}};
    Outcome<EmbedAnswer> outcome;
    service_.Embed(std::move(call), outcome.Callback());
    return outcome;
  }

  std::string DigestOf(const std::string& model) {
    const auto found = service_.GetModel(model);
    return found.ok() ? (*found)->facts->weights_digest : found.status().ToString();
  }

  // Waits until the service serves that version.
  void AwaitDigest(const std::string& model, const std::string& digest) {
    while (DigestOf(model) != digest) std::this_thread::yield();
  }

  double Reloads(const std::string& model, const std::string& result) const {
    return MetricValue(metrics_, "model_reloads_total", {{"model", model}, {"result", result}});
  }
  void AwaitReloads(const std::string& model, const std::string& result, int count) const {
    while (Reloads(model, result) < count) std::this_thread::yield();
  }

  TemporaryDirectory root_;
  const std::vector<uint8_t> pixels_ = std::vector<uint8_t>(8 * 8 * 3, 'x');
  std::function<void()> on_run_;
  FakeClock clock_;
  Metrics metrics_;
  std::unique_ptr<ThreadPool> decode_pool_ = std::make_unique<ThreadPool>("decode", 1);
  EmbeddingService service_{*decode_pool_, clock_, metrics_, EmbeddingService::Options()};
  std::unique_ptr<ModelStore> store_;
};

TEST_F(ModelStoreTest, ServesEachModelFromItsDirectory) {
  Write("a", "a1");
  Write("b", "b1");
  MakeStore({"a", "b"});

  ASSERT_TRUE(store_->Start().ok());

  EXPECT_EQ(DigestOf("a"), "a1");
  EXPECT_EQ(Embed("b").Await()->weights_digest, "b1");
}

TEST_F(ModelStoreTest, NamesTheModelThatCannotBeServed) {
  Write("a", "a1");
  Write("b", "bad");
  MakeStore({"a", "b"});

  EXPECT_EQ(store_->Start(), absl::InvalidArgumentError("model b: weights: bad"));

  EXPECT_EQ(service_.GetModel("a").status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ModelStoreTest, AFullModelRefusesNothingOfAnother) {
  Write("a", "a1");
  Write("b", "b1");
  MakeStore({"a", "b"});
  ASSERT_TRUE(store_->Start().ok());
  Gate gate;
  decode_pool_->Submit([&gate] { gate.Await(); });

  std::vector<Outcome<EmbedAnswer>> of_a;
  for (int i = 0; i < 4; ++i) of_a.push_back(Embed("a"));
  const auto refused = Embed("a");
  const auto of_b = Embed("b");
  gate.Open();

  EXPECT_EQ(refused.Await().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(of_b.Await().ok()) << of_b.Await().status();
  for (const auto& outcome : of_a) EXPECT_TRUE(outcome.Await().ok());
}

TEST_F(ModelStoreTest, ReplacesAChangedModelWhenAskedAndLeavesTheOthers) {
  Write("a", "a1");
  Write("b", "b1");
  MakeStore({"a", "b"}, /*poll=*/absl::ZeroDuration());
  ASSERT_TRUE(store_->Start().ok());
  store_->Watch();
  Write("a", "a2");

  store_->RequestReload();
  AwaitDigest("a", "a2");

  EXPECT_EQ(Embed("a").Await()->weights_digest, "a2");
  EXPECT_EQ(DigestOf("b"), "b1");
  AwaitReloads("a", "ok", 1);
  EXPECT_EQ(Reloads("b", "ok"), 0);
}

TEST_F(ModelStoreTest, AVersionHasComputedBeforeItServes) {
  std::vector<std::string> served_during_runs;
  std::mutex mu;
  on_run_ = [&] {
    const std::lock_guard lock(mu);
    served_during_runs.push_back(DigestOf("a"));
  };
  Write("a", "a1");
  MakeStore({"a"}, /*poll=*/absl::ZeroDuration());

  ASSERT_TRUE(store_->Start().ok());
  store_->Watch();
  const size_t first_runs = served_during_runs.size();
  Write("a", "a2");
  store_->RequestReload();
  AwaitDigest("a", "a2");

  const std::lock_guard lock(mu);
  EXPECT_GT(first_runs, 0u);
  EXPECT_GT(served_during_runs.size(), first_runs);
  EXPECT_EQ(served_during_runs.back(), "a1") << "the old version serves while the new one warms up";
}

TEST_F(ModelStoreTest, APollReplacesAModelOnceItsDirectoryHasSettled) {
  Write("a", "a1");
  MakeStore({"a"});
  ASSERT_TRUE(store_->Start().ok());
  store_->Watch();
  clock_.AwaitWaiters(1);

  Write("a", "bad");
  clock_.Advance(kPoll);  // sees a change
  clock_.AwaitWaiters(1);
  Write("a", "a2");
  clock_.Advance(kPoll);  // sees another
  clock_.AwaitWaiters(1);
  EXPECT_EQ(DigestOf("a"), "a1");
  clock_.Advance(kPoll);  // sees none
  AwaitDigest("a", "a2");

  EXPECT_EQ(Reloads("a", "failed"), 0) << "what was there for a moment is never loaded";
}

TEST_F(ModelStoreTest, ABadVersionChangesNothingAndIsNotTriedAgainByPolls) {
  Write("a", "a1");
  MakeStore({"a"});
  ASSERT_TRUE(store_->Start().ok());
  store_->Watch();
  clock_.AwaitWaiters(1);
  Write("a", "bad");

  testing::internal::CaptureStderr();
  for (int poll = 0; poll < 5; ++poll) {
    clock_.Advance(kPoll);
    clock_.AwaitWaiters(1);
  }
  const std::string log = testing::internal::GetCapturedStderr();

  EXPECT_EQ(Reloads("a", "failed"), 1);
  EXPECT_THAT(log, AllOf(HasSubstr("the old one goes on"), HasSubstr("model=a"),
                         HasSubstr("reason=\"weights: bad\""), HasSubstr("weights_digest=a1")));
  EXPECT_EQ(Embed("a").Await()->weights_digest, "a1");
  Write("a", "a2");
  store_->RequestReload();
  AwaitDigest("a", "a2");
}

TEST_F(ModelStoreTest, AnImageUnderWayEndsWithTheVersionItBeganWith) {
  Write("a", "a1");
  MakeStore({"a"}, /*poll=*/absl::ZeroDuration());
  ASSERT_TRUE(store_->Start().ok());
  store_->Watch();
  Gate gate;
  decode_pool_->Submit([&gate] { gate.Await(); });
  const auto before = Embed("a");
  Write("a", "a2");

  store_->RequestReload();
  AwaitDigest("a", "a2");
  const auto after = Embed("a");
  gate.Open();

  ASSERT_TRUE(before.Await().ok()) << before.Await().status();
  EXPECT_EQ(before.Await()->weights_digest, "a1");
  EXPECT_EQ(after.Await()->weights_digest, "a2");
}

TEST_F(ModelStoreTest, NoCallFailsWhileVersionsChange) {
  Write("a", "v0");
  MakeStore({"a"}, /*poll=*/absl::ZeroDuration());
  ASSERT_TRUE(store_->Start().ok());
  store_->Watch();
  std::atomic<bool> over = false;
  std::atomic<int> answered = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      while (!over) {
        const absl::StatusOr<EmbedAnswer> answer = Embed("a").Await();
        EXPECT_TRUE(answer.ok()) << answer.status();
        ++answered;
      }
    });
  }

  for (int version = 1; version <= 20; ++version) {
    const std::string digest = "v" + std::to_string(version);
    Write("a", digest);
    store_->RequestReload();
    AwaitDigest("a", digest);
    const int seen = answered;
    while (answered < seen + 3) std::this_thread::yield();
  }
  over = true;
  for (std::thread& caller : callers) caller.join();

  EXPECT_GT(answered, 0);
}

TEST_F(ModelStoreTest, AStopEndsTheStart) {
  Write("a", "a1");
  MakeStore({"a"});

  store_->RequestStop();

  EXPECT_EQ(store_->Start().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace tome
