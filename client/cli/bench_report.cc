#include "client/cli/bench_report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/load_plan.h"
#include "client/cli/table.h"
#include "client/status.h"

namespace tome::client {
namespace {

// Of the values that are there.
class Mean {
 public:
  void Add(std::optional<absl::Duration> value) {
    if (!value) return;
    sum_ += *value;
    ++count_;
  }
  std::optional<absl::Duration> Get() const {
    return count_ > 0 ? std::optional(sum_ / count_) : std::nullopt;
  }

 private:
  absl::Duration sum_;
  int64_t count_ = 0;
};

std::string Milliseconds(const std::optional<absl::Duration>& value) {
  return value ? absl::StrFormat("%.2f", absl::ToDoubleMilliseconds(*value)) : "-";
}

Json JsonMilliseconds(const std::optional<absl::Duration>& value) {
  return value ? Json(absl::ToDoubleMilliseconds(*value)) : Json();
}

Json ToJson(const LoadWindow& window) {
  Json errors = Json::object();
  for (const auto& [code, count] : window.errors) errors[CodeName(code)] = count;
  return {{"embedded", window.embedded},
          {"errors", std::move(errors)},
          {"images_per_second", window.images_per_second},
          {"p50_ms", JsonMilliseconds(window.median_latency)}};
}

std::string LoopText(const LoadOptions& load) {
  return load.rate ? absl::StrCat("open loop, ", *load.rate, " images/s due")
                   : absl::StrCat("closed loop, ", load.concurrency, " at once");
}

std::string SteadyText(const LoadResult& result) {
  if (result.interrupted) return "interrupted";
  return result.steady ? "the last three alike within 10%"
                       : "not alike within 10% by the end of --max-duration";
}

}  // namespace

BenchSummary Summarize(const LoadResult& result, absl::Duration window) {
  BenchSummary summary;
  const LoadRecord& record = result.record;
  for (int i = 0; i < result.end_window; ++i) summary.windows.push_back(record.Window(i));
  if (result.first_window == result.end_window) return summary;
  summary.total = record.Windows(result.first_window, result.end_window);
  summary.time = window * (result.end_window - result.first_window);

  std::vector<absl::Duration> latencies;
  std::vector<absl::Duration> outside;
  Mean latency, decode, preprocess, queue, compute, outside_mean;
  double batch_images = 0.0;
  for (const LoadSample& sample : record.Samples(result.first_window, result.end_window)) {
    if (sample.code != absl::StatusCode::kOk) continue;
    const Timing& timing = sample.timing;
    constexpr absl::Duration kNone = absl::ZeroDuration();
    latencies.push_back(sample.latency());
    outside.push_back(sample.latency() - timing.decode.value_or(kNone) -
                      timing.preprocess.value_or(kNone) - timing.compute.value_or(kNone));
    latency.Add(latencies.back());
    outside_mean.Add(outside.back());
    decode.Add(timing.decode);
    preprocess.Add(timing.preprocess);
    queue.Add(timing.queue);
    compute.Add(timing.compute);
    batch_images += timing.batch_images;
  }
  if (latencies.empty()) return summary;
  summary.mean = latency.Get();
  summary.largest = *std::max_element(latencies.begin(), latencies.end());
  summary.p50 = Percentile(latencies, 0.5);
  summary.p90 = Percentile(latencies, 0.9);
  summary.p99 = Percentile(latencies, 0.99);
  summary.p999 = Percentile(latencies, 0.999);
  summary.decode = decode.Get();
  summary.preprocess = preprocess.Get();
  summary.queue = queue.Get();
  summary.compute = compute.Get();
  summary.batch_images = batch_images / static_cast<double>(latencies.size());
  summary.outside_mean = outside_mean.Get();
  summary.outside_p50 = Percentile(std::move(outside), 0.5);
  return summary;
}

std::string ToText(const BenchCommand& command, const Model& model, const LoadResult& result,
                   const BenchSummary& summary) {
  constexpr auto kRight = Table::Align::kRight;
  const LoadOptions& load = command.load;
  std::string text = absl::StrCat(
      model.name, ", r ", load.r.empty() ? "of the server's default" : RSharesText(load.r), ", ",
      LoopText(load), command.stream ? ", one stream" : "", "\n", summary.windows.size(),
      " windows of ", absl::FormatDuration(load.window), ", ", SteadyText(result), "\n\n");

  Table latencies({{"images/s", kRight},
                   {"embedded", kRight},
                   {"mean ms", kRight},
                   {"p50", kRight},
                   {"p90", kRight},
                   {"p99", kRight},
                   {"p99.9", kRight},
                   {"largest", kRight}});
  latencies.AddRow({absl::StrFormat("%.2f", summary.total.images_per_second),
                    absl::StrCat(summary.total.embedded), Milliseconds(summary.mean),
                    Milliseconds(summary.p50), Milliseconds(summary.p90), Milliseconds(summary.p99),
                    Milliseconds(summary.p999), Milliseconds(summary.largest)});

  Table stages({{"decode ms", kRight},
                {"preprocess", kRight},
                {"queue", kRight},
                {"compute", kRight},
                {"images a batch", kRight},
                {"all but decode, preprocess, compute: mean", kRight},
                {"p50", kRight}});
  stages.AddRow({Milliseconds(summary.decode), Milliseconds(summary.preprocess),
                 Milliseconds(summary.queue), Milliseconds(summary.compute),
                 absl::StrFormat("%.1f", summary.batch_images), Milliseconds(summary.outside_mean),
                 Milliseconds(summary.outside_p50)});
  absl::StrAppend(&text, latencies.ToString(), "\n", stages.ToString());

  if (!summary.total.errors.empty()) {
    Table errors({{"not embedded"}, {"images", kRight}});
    for (const auto& [code, count] : summary.total.errors) {
      errors.AddRow({CodeName(code), absl::StrCat(count)});
    }
    absl::StrAppend(&text, "\n", errors.ToString());
  }
  return text;
}

Json ToJson(const BenchCommand& command, const Model& model, const LoadResult& result,
            const BenchSummary& summary) {
  const LoadOptions& load = command.load;
  Json json = {{"model", model.name},
               {"weights_digest", model.weights_digest},
               {"dtype", model.dtype},
               {"device", model.device},
               {"r", load.r.empty() ? Json() : Json(RSharesText(load.r))},
               {"loop", load.rate ? "open" : "closed"},
               {"calls", command.stream ? "stream" : "unary"},
               {"seed", load.seed},
               {"steady", result.steady},
               {"interrupted", result.interrupted},
               {"seconds", absl::ToDoubleSeconds(summary.time)}};
  if (load.rate) {
    json["rate"] = *load.rate;
  } else {
    json["concurrency"] = load.concurrency;
  }
  json.update(ToJson(summary.total));
  json.erase("p50_ms");
  json["latency_ms"] = {
      {"mean", JsonMilliseconds(summary.mean)},  {"p50", JsonMilliseconds(summary.p50)},
      {"p90", JsonMilliseconds(summary.p90)},    {"p99", JsonMilliseconds(summary.p99)},
      {"p99.9", JsonMilliseconds(summary.p999)}, {"largest", JsonMilliseconds(summary.largest)}};
  json["mean_stage_ms"] = {{"decode", JsonMilliseconds(summary.decode)},
                           {"preprocess", JsonMilliseconds(summary.preprocess)},
                           {"queue", JsonMilliseconds(summary.queue)},
                           {"compute", JsonMilliseconds(summary.compute)}};
  json["mean_batch_images"] = summary.batch_images;
  json["outside_decode_preprocess_compute_ms"] = {{"mean", JsonMilliseconds(summary.outside_mean)},
                                                  {"p50", JsonMilliseconds(summary.outside_p50)}};
  Json windows = Json::array();
  for (const LoadWindow& window : summary.windows) windows.push_back(ToJson(window));
  json["windows"] = std::move(windows);
  return json;
}

}  // namespace tome::client
