#include "client/batches.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <iterator>
#include <utility>
#include <variant>

namespace tome::client {
namespace {

// What a message holds beside the bytes of its images: of an item, and of the call.
constexpr uint64_t kItemOverhead = 64;
constexpr uint64_t kCallOverhead = 4096;

uint64_t BytesOf(const BatchItem& item) {
  uint64_t bytes = kItemOverhead;
  if (const auto* file = std::get_if<EncodedImage>(&item.image)) {
    bytes += file->bytes.size();
  } else if (const auto* rgb = std::get_if<RgbImage>(&item.image)) {
    bytes += rgb->pixels.size();
  } else {
    bytes += std::get<ModelPixels>(item.image).pixels.size();
  }
  if (item.schedule.has_value()) {
    if (const auto* per_block = std::get_if<PerBlockSchedule>(&*item.schedule)) {
      bytes += 5 * per_block->r.size();
    }
  }
  return bytes;
}

}  // namespace

std::vector<std::vector<BatchItem>> SplitIntoBatches(std::vector<BatchItem> items,
                                                     const Limits& limits, int calls_at_once) {
  const size_t half = limits.images_per_call / 2;
  const size_t most_items = limits.images_per_call > 0
                                ? std::max<size_t>(half / static_cast<size_t>(calls_at_once), 1)
                                : items.size();
  std::vector<std::vector<BatchItem>> batches;
  uint64_t bytes = 0;
  for (BatchItem& item : items) {
    const uint64_t more = BytesOf(item);
    const bool full = batches.empty() || batches.back().size() == most_items ||
                      (limits.message_bytes > 0 && bytes + more > limits.message_bytes);
    if (full) {
      batches.emplace_back();
      bytes = kCallOverhead;
    }
    batches.back().push_back(std::move(item));
    bytes += more;
  }
  return batches;
}

std::vector<absl::StatusOr<Embedding>> EmbedAll(Client& client, std::vector<BatchItem> items,
                                                const EmbedOptions& options, int calls_at_once) {
  if (items.empty()) return {};
  const absl::StatusOr<ModelAndLimits> model = client.GetModel(options.model, options);
  if (!model.ok()) return {items.size(), model.status()};
  std::vector<absl::StatusOr<Embedding>> results;
  struct Call {
    size_t items;
    std::future<absl::StatusOr<BatchResults>> results;
  };
  std::deque<Call> under_way;
  const auto await_first = [&] {
    Call call = std::move(under_way.front());
    under_way.pop_front();
    absl::StatusOr<BatchResults> batch = call.results.get();
    if (batch.ok()) {
      std::move(batch->begin(), batch->end(), std::back_inserter(results));
    } else {
      results.insert(results.end(), call.items, batch.status());
    }
  };
  for (std::vector<BatchItem>& batch :
       SplitIntoBatches(std::move(items), model->limits, calls_at_once)) {
    if (under_way.size() == static_cast<size_t>(calls_at_once)) await_first();
    const size_t size = batch.size();
    under_way.push_back({size, client.EmbedBatchAsync(std::move(batch), options)});
  }
  while (!under_way.empty()) await_first();
  return results;
}

}  // namespace tome::client
