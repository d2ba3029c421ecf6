#include "server/metrics/metrics.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "tests/metrics/scrape.h"

namespace tome {
namespace {

constexpr const char* kCodes[] = {"OK",
                                  "CANCELLED",
                                  "UNKNOWN",
                                  "INVALID_ARGUMENT",
                                  "NOT_FOUND",
                                  "DEADLINE_EXCEEDED",
                                  "ALREADY_EXISTS",
                                  "PERMISSION_DENIED",
                                  "ABORTED",
                                  "FAILED_PRECONDITION",
                                  "UNIMPLEMENTED",
                                  "RESOURCE_EXHAUSTED",
                                  "OUT_OF_RANGE",
                                  "INTERNAL",
                                  "UNAVAILABLE",
                                  "DATA_LOSS",
                                  "UNAUTHENTICATED"};
constexpr const char* kMethods[] = {"Embed", "EmbedBatch", "EmbedStream", "ListModels", "GetModel"};
constexpr const char* kStages[] = {"decode", "preprocess", "queue", "compute", "encode"};

Metrics::ModelInfo SmallModel() {
  return {.architecture = "vit_small_patch16_224",
          .dtype = "float32",
          .device = "cpu",
          .weights_digest = "abc"};
}

TEST(MetricsTest, EverySampleOfTheServerIsThereAtZeroBeforeAnythingHappened) {
  Metrics metrics;

  const Scrape scrape = ScrapeOverSocket(metrics);

  std::vector<std::string> samples = {
      "tome_batch_images_count",
      "tome_batch_tokens_count",
      "tome_queue_images",
      "tome_inflight_images",
      "tome_dropped_images_total{reason=\"cancelled\"}",
      "tome_dropped_images_total{reason=\"expired\"}",
      "tome_dropped_images_total{reason=\"full\"}",
      "tome_r_raised_total{reason=\"latency_budget\"}",
      "tome_r_raised_total{reason=\"overload\"}",
  };
  for (const std::string method : kMethods) {
    samples.push_back(absl::StrCat("tome_requests_started_total{method=\"", method, "\"}"));
    samples.push_back(absl::StrCat("tome_request_duration_seconds_count{method=\"", method, "\"}"));
    for (const std::string code : kCodes) {
      samples.push_back(
          absl::StrCat("tome_requests_total{code=\"", code, "\",method=\"", method, "\"}"));
    }
  }
  for (const std::string& sample : samples) EXPECT_EQ(scrape.value(sample), 0) << sample;
}

TEST(MetricsTest, EverySampleOfAModelIsThereAtZeroOnceItIsAdded) {
  Metrics metrics;

  metrics.AddModel("vit-s16", SmallModel());

  const Scrape scrape = ScrapeOverSocket(metrics);
  std::vector<std::string> samples = {
      "tome_merged_tokens_ratio_count{model=\"vit-s16\"}",
      "tome_expected_fidelity_count{model=\"vit-s16\"}",
      "tome_tokens_total{model=\"vit-s16\",state=\"in\"}",
      "tome_tokens_total{model=\"vit-s16\",state=\"merged\"}",
      "tome_engine_busy_seconds_total{device=\"cpu\"}",
      "tome_device_lost{device=\"cpu\"}",
  };
  for (const std::string code : kCodes) {
    samples.push_back(absl::StrCat("tome_images_total{code=\"", code, "\",model=\"vit-s16\"}"));
  }
  for (const std::string stage : kStages) {
    samples.push_back(
        absl::StrCat("tome_stage_duration_seconds_count{model=\"vit-s16\",stage=\"", stage, "\"}"));
  }
  for (const std::string& sample : samples) EXPECT_EQ(scrape.value(sample), 0) << sample;
}

TEST(MetricsTest, InfosNameTheBinaryAndTheModel) {
  Metrics metrics;
  metrics.AddModel("vit-s16", SmallModel());

  const Scrape scrape = ScrapeInProcess(metrics);

  EXPECT_EQ(scrape.value("tome_model_info{architecture=\"vit_small_patch16_224\",device=\"cpu\","
                         "dtype=\"float32\",model=\"vit-s16\",weights_digest=\"abc\"}"),
            1)
      << scrape.text;
  EXPECT_TRUE(absl::StrContains(scrape.text, "tome_build_info{")) << scrape.text;
  EXPECT_TRUE(absl::StrContains(scrape.text, "version=\"" TOME_VERSION "\"")) << scrape.text;
}

TEST(MetricsTest, ANewVersionOfAModelReplacesItsInfoAndKeepsItsCounts) {
  Metrics metrics;
  metrics.AddModel("vit-s16", SmallModel());
  metrics.ImagesFinished("vit-s16", absl::StatusCode::kOk);

  Metrics::ModelInfo retrained = SmallModel();
  retrained.weights_digest = "def";
  metrics.AddModel("vit-s16", retrained);
  metrics.AddModel("vit-s16", retrained);

  const Scrape scrape = ScrapeInProcess(metrics);
  EXPECT_FALSE(absl::StrContains(scrape.text, "weights_digest=\"abc\"")) << scrape.text;
  EXPECT_TRUE(absl::StrContains(scrape.text, "weights_digest=\"def\"")) << scrape.text;
  EXPECT_EQ(scrape.value("tome_images_total{code=\"OK\",model=\"vit-s16\"}"), 1);
}

TEST(MetricsTest, TheServerIsInOneStateAtATime) {
  Metrics metrics;
  const Scrape starting = ScrapeOverSocket(metrics);
  metrics.SetServerState(ServerState::kServing);
  metrics.SetServerState(ServerState::kDraining);

  const Scrape draining = ScrapeOverSocket(metrics);

  EXPECT_EQ(starting.value("tome_server_state{state=\"starting\"}"), 1);
  EXPECT_EQ(starting.value("tome_server_state{state=\"draining\"}"), 0);
  EXPECT_EQ(draining.value("tome_server_state{state=\"starting\"}"), 0);
  EXPECT_EQ(draining.value("tome_server_state{state=\"serving\"}"), 0);
  EXPECT_EQ(draining.value("tome_server_state{state=\"draining\"}"), 1);
}

TEST(MetricsTest, ACallIsCountedWhenItStartsAndUnderItsStatusWhenItEnds) {
  Metrics metrics;

  metrics.RequestStarted(Method::kEmbed);
  metrics.RequestStarted(Method::kEmbed);
  metrics.RequestStarted(Method::kGetModel);
  metrics.RequestFinished(Method::kEmbed, absl::StatusCode::kResourceExhausted,
                          absl::Milliseconds(3));

  const Scrape scrape = ScrapeInProcess(metrics);
  EXPECT_EQ(scrape.value("tome_requests_started_total{method=\"Embed\"}"), 2);
  EXPECT_EQ(scrape.value("tome_requests_started_total{method=\"GetModel\"}"), 1);
  EXPECT_EQ(scrape.value("tome_requests_total{code=\"RESOURCE_EXHAUSTED\",method=\"Embed\"}"), 1);
  EXPECT_EQ(scrape.value("tome_requests_total{code=\"OK\",method=\"Embed\"}"), 0);
  EXPECT_EQ(scrape.value("tome_request_duration_seconds_count{method=\"Embed\"}"), 1);
  EXPECT_DOUBLE_EQ(*scrape.value("tome_request_duration_seconds_sum{method=\"Embed\"}"), 0.003);
  EXPECT_EQ(scrape.value("tome_request_duration_seconds_bucket{le=\"0.002\",method=\"Embed\"}"), 0);
  EXPECT_EQ(scrape.value("tome_request_duration_seconds_bucket{le=\"0.005\",method=\"Embed\"}"), 1);
  EXPECT_EQ(scrape.value("tome_request_duration_seconds_bucket{le=\"+Inf\",method=\"Embed\"}"), 1);
}

TEST(MetricsTest, AnObjectiveOfCommonDurationsIsABucketBoundary) {
  Metrics metrics;

  const Scrape scrape = ScrapeInProcess(metrics);

  for (const std::string seconds : {"0.001", "0.05", "0.1", "0.2", "0.5", "1", "30"}) {
    const std::string sample =
        absl::StrCat("tome_request_duration_seconds_bucket{le=\"", seconds, "\",method=\"Embed\"}");
    EXPECT_EQ(scrape.value(sample), 0) << sample;
  }
}

TEST(MetricsTest, AnImageIsCountedUnderItsModelItsStatusAndItsStages) {
  Metrics metrics;
  metrics.AddModel("a", SmallModel());
  metrics.AddModel("b", SmallModel());

  metrics.ImagesFinished("a", absl::StatusCode::kOk);
  metrics.ImagesFinished("b", absl::StatusCode::kInvalidArgument);
  metrics.ObserveStage("a", Stage::kDecode, absl::Milliseconds(7));
  metrics.ObserveStage("a", Stage::kEncode, absl::Microseconds(50));
  metrics.ObserveMerging("a", 197, 96);
  metrics.ObserveExpectedFidelity("a", 0.985);

  const Scrape scrape = ScrapeInProcess(metrics);
  EXPECT_EQ(scrape.value("tome_images_total{code=\"OK\",model=\"a\"}"), 1);
  EXPECT_EQ(scrape.value("tome_images_total{code=\"OK\",model=\"b\"}"), 0);
  EXPECT_EQ(scrape.value("tome_images_total{code=\"INVALID_ARGUMENT\",model=\"b\"}"), 1);
  EXPECT_DOUBLE_EQ(*scrape.value("tome_stage_duration_seconds_sum{model=\"a\",stage=\"decode\"}"),
                   0.007);
  EXPECT_EQ(scrape.value("tome_stage_duration_seconds_count{model=\"a\",stage=\"encode\"}"), 1);
  EXPECT_EQ(scrape.value("tome_stage_duration_seconds_count{model=\"a\",stage=\"queue\"}"), 0);
  EXPECT_EQ(scrape.value("tome_tokens_total{model=\"a\",state=\"in\"}"), 197);
  EXPECT_EQ(scrape.value("tome_tokens_total{model=\"a\",state=\"merged\"}"), 96);
  EXPECT_EQ(scrape.value("tome_merged_tokens_ratio_bucket{le=\"0.4\",model=\"a\"}"), 0);
  EXPECT_EQ(scrape.value("tome_merged_tokens_ratio_bucket{le=\"0.5\",model=\"a\"}"), 1);
  EXPECT_DOUBLE_EQ(*scrape.value("tome_expected_fidelity_sum{model=\"a\"}"), 0.985);
  EXPECT_EQ(scrape.value("tome_expected_fidelity_bucket{le=\"0.98\",model=\"a\"}"), 0);
  EXPECT_EQ(scrape.value("tome_expected_fidelity_bucket{le=\"0.99\",model=\"a\"}"), 1);
}

TEST(MetricsTest, BatchesQueueAndEngineAreMeasured) {
  Metrics metrics;
  metrics.AddModel("a", SmallModel());

  metrics.AddQueueImages(5);
  metrics.AddQueueImages(-3);
  metrics.AddInflightImages(7);
  metrics.AddInflightImages(-1);
  metrics.ObserveBatch(8, 1576);
  metrics.EngineBusy("cpu", absl::Milliseconds(250));
  metrics.EngineBusy("cpu", absl::Milliseconds(250));
  metrics.ImagesDropped(DropReason::kExpired);

  const Scrape scrape = ScrapeInProcess(metrics);
  EXPECT_EQ(scrape.value("tome_queue_images"), 2);
  EXPECT_EQ(scrape.value("tome_inflight_images"), 6);
  EXPECT_EQ(scrape.value("tome_batch_images_sum"), 8);
  EXPECT_EQ(scrape.value("tome_batch_images_bucket{le=\"6\"}"), 0);
  EXPECT_EQ(scrape.value("tome_batch_images_bucket{le=\"8\"}"), 1);
  EXPECT_EQ(scrape.value("tome_batch_tokens_sum"), 1576);
  EXPECT_EQ(scrape.value("tome_engine_busy_seconds_total{device=\"cpu\"}"), 0.5);
  EXPECT_EQ(scrape.value("tome_dropped_images_total{reason=\"expired\"}"), 1);
  EXPECT_EQ(scrape.value("tome_dropped_images_total{reason=\"full\"}"), 0);
}

TEST(MetricsTest, ANameThatAClientSentNeverBecomesALabel) {
  Metrics metrics;
  metrics.AddModel("a", SmallModel());

  metrics.ImagesFinished("intruder", absl::StatusCode::kNotFound);
  metrics.ObserveStage("intruder", Stage::kDecode, absl::Milliseconds(1));
  metrics.ObserveMerging("intruder", 197, 8);
  metrics.ObserveExpectedFidelity("intruder", 1.0);
  metrics.EngineBusy("intruder", absl::Seconds(1));
  metrics.DeviceLost("intruder");

  const Scrape scrape = ScrapeInProcess(metrics);
  EXPECT_FALSE(absl::StrContains(scrape.text, "intruder")) << scrape.text;
}

TEST(MetricsTest, ACodeOutsideOfGrpcCountsAsUnknown) {
  Metrics metrics;

  metrics.RequestFinished(Method::kEmbed, static_cast<absl::StatusCode>(99), absl::ZeroDuration());

  EXPECT_EQ(StatusCodeName(static_cast<absl::StatusCode>(99)), "UNKNOWN");
  EXPECT_EQ(
      ScrapeInProcess(metrics).value("tome_requests_total{code=\"UNKNOWN\",method=\"Embed\"}"), 1);
}

TEST(MetricsTest, NoUpdateIsLostBetweenThreadsAndScrapes) {
  constexpr int kThreads = 4;
  constexpr int kUpdates = 500;
  Metrics metrics;
  metrics.AddModel("a", SmallModel());

  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&metrics, t] {
      for (int i = 0; i < kUpdates; ++i) {
        metrics.RequestStarted(Method::kEmbed);
        metrics.AddInflightImages(1);
        metrics.ImagesFinished("a", absl::StatusCode::kOk);
        metrics.ObserveStage("a", Stage::kCompute, absl::Milliseconds(1));
        metrics.EngineBusy("cpu", absl::Seconds(1));
        metrics.AddInflightImages(-1);
        metrics.RequestFinished(Method::kEmbed, absl::StatusCode::kOk, absl::Milliseconds(2));
      }
      metrics.AddModel(absl::StrCat("late-", t), SmallModel());
    });
  }
  ScrapeOverSocket(metrics);
  for (std::thread& thread : threads) thread.join();

  const Scrape scrape = ScrapeOverSocket(metrics);
  constexpr int kAll = kThreads * kUpdates;
  EXPECT_EQ(scrape.value("tome_requests_started_total{method=\"Embed\"}"), kAll);
  EXPECT_EQ(scrape.value("tome_requests_total{code=\"OK\",method=\"Embed\"}"), kAll);
  EXPECT_EQ(scrape.value("tome_images_total{code=\"OK\",model=\"a\"}"), kAll);
  EXPECT_EQ(scrape.value("tome_stage_duration_seconds_count{model=\"a\",stage=\"compute\"}"), kAll);
  EXPECT_EQ(scrape.value("tome_engine_busy_seconds_total{device=\"cpu\"}"), kAll);
  EXPECT_EQ(scrape.value("tome_inflight_images"), 0);
  EXPECT_EQ(scrape.value("tome_images_total{code=\"OK\",model=\"late-3\"}"), 0);
}

TEST(MetricsTest, PromtoolFindsNothingToComplainAbout) {
  Metrics metrics;
  metrics.AddModel("vit-s16", SmallModel());
  metrics.ImagesFinished("vit-s16", absl::StatusCode::kOk);
  ScrapeOverSocket(metrics);
  const Scrape scrape = ScrapeOverSocket(metrics);

  const std::string path = absl::StrCat(testing::TempDir(), "/tome_metrics_", getpid(), ".txt");
  std::FILE* const file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr) << path;
  std::fwrite(scrape.text.data(), 1, scrape.text.size(), file);
  std::fclose(file);
  std::FILE* const promtool =
      popen(absl::StrCat("promtool check metrics < ", path, " 2>&1").c_str(), "r");
  ASSERT_NE(promtool, nullptr);
  std::string output;
  char part[512];
  while (std::fgets(part, sizeof(part), promtool) != nullptr) output += part;
  const int status = pclose(promtool);
  std::remove(path.c_str());

  EXPECT_EQ(output, "") << "promtool is part of Debian's package prometheus";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
}

}  // namespace
}  // namespace tome
