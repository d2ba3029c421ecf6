#include "server/lab/picture_loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/image/decode.h"
#include "server/image/resize_crop.h"
#include "server/lab/atomic_file.h"

namespace tome {
namespace {

// The pictures are the user's own: only what no file of theirs needs is refused.
constexpr ImageLimits kLimits = {.max_bytes = int64_t{1} << 30,
                                 .max_pixels = int64_t{1} << 28,
                                 .max_side = 1 << 16,
                                 .max_scans = 1024,
                                 .max_chunks = 1 << 20};

absl::StatusOr<std::vector<uint8_t>> ReadPicture(const std::string& path,
                                                 const Preprocessing& spec) {
  TOME_ASSIGN_OR_RETURN(const std::string encoded, ReadWholeFile(path));
  const absl::StatusOr<RgbImage> image =
      DecodeImage({reinterpret_cast<const uint8_t*>(encoded.data()), encoded.size()}, kLimits);
  if (!image.ok()) {
    return absl::Status(image.status().code(), absl::StrCat(path, ": ", image.status().message()));
  }
  return ResizeAndCrop({.height = image->height, .width = image->width, .pixels = image->pixels},
                       spec);
}

// Runs body(i) for each i below `count` on the pool; the future is ready when all are done.
std::shared_future<void> ForEach(ThreadPool& pool, int64_t count,
                                 const std::function<void(int64_t)>& body) {
  struct State {
    explicit State(int64_t count) : left(count) {}
    std::atomic<int64_t> left;
    std::promise<void> done;
  };
  const auto state = std::make_shared<State>(count);
  std::shared_future<void> done = state->done.get_future().share();
  if (count == 0) state->done.set_value();
  for (int64_t i = 0; i < count; ++i) {
    pool.Submit([state, body, i] {
      body(i);
      if (state->left.fetch_sub(1) == 1) state->done.set_value();
    });
  }
  return done;
}

}  // namespace

Preprocessing Enlarged(const Preprocessing& spec, double factor) {
  if (spec.resize == Preprocessing::Resize::kNone) return spec;
  const auto scaled = [factor](int side) { return static_cast<int>(std::lround(side * factor)); };
  Preprocessing large = spec;
  large.crop_height = scaled(spec.crop_height);
  large.crop_width = scaled(spec.crop_width);
  large.resize_height = std::max(scaled(spec.resize_height), 1);
  large.resize_width = std::max(scaled(spec.resize_width), 1);
  return large;
}

PictureLoader::PictureLoader(const Preprocessing& spec, int threads)
    : spec_(spec), pool_("decode", threads) {}

absl::StatusOr<std::unique_ptr<PictureLoader>> PictureLoader::Create(PictureFolder folder,
                                                                     const Preprocessing& spec,
                                                                     const Limits& limits) {
  std::unique_ptr<PictureLoader> loader(new PictureLoader(spec, limits.threads));
  const int64_t bytes = int64_t{3} * spec.crop_height * spec.crop_width;
  const int64_t kept = limits.memory_bytes / bytes;
  const auto count = static_cast<int64_t>(folder.pictures.size());
  std::vector<absl::Status> errors(count);
  std::vector<Picture> pictures(count);
  ForEach(loader->pool_, count, [&](int64_t i) {
    pictures[i].file = folder.pictures[i];
    absl::StatusOr<std::vector<uint8_t>> pixels = ReadPicture(folder.pictures[i].path, spec);
    errors[i] = pixels.status();
    // By its place in the folder, so that what is kept depends on no thread's speed.
    if (pixels.ok() && i < kept) pictures[i].pixels = *std::move(pixels);
  }).wait();

  for (int64_t i = 0; i < count; ++i) {
    if (!errors[i].ok()) {
      loader->unreadable_.emplace_back(errors[i].message());
      continue;
    }
    if (!pictures[i].pixels.empty()) ++loader->in_memory_;
    loader->pictures_.push_back(std::move(pictures[i]));
  }
  if (loader->pictures_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("none of ", count, " pictures can be read; ", loader->unreadable_.front()));
  }
  loader->label_names_ = std::move(folder.labels);
  return loader;
}

std::future<absl::StatusOr<at::Tensor>> PictureLoader::Load(std::vector<int64_t> pictures) {
  struct Batch {
    std::vector<int64_t> pictures;
    at::Tensor pixels;
    std::vector<absl::Status> errors;
  };
  const auto count = static_cast<int64_t>(pictures.size());
  auto batch = std::make_shared<Batch>();
  batch->pictures = std::move(pictures);
  batch->pixels = at::empty({count, spec_.crop_height, spec_.crop_width, 3},
                            at::TensorOptions().dtype(c10::ScalarType::Byte));
  batch->errors.resize(count);
  uint8_t* target = batch->pixels.mutable_data_ptr<uint8_t>();
  const int64_t bytes = int64_t{3} * spec_.crop_height * spec_.crop_width;
  const auto copy_picture = [this, batch, target, bytes](int64_t i) {
    const Picture& picture = pictures_[batch->pictures[i]];
    if (!picture.pixels.empty()) {
      std::memcpy(target + i * bytes, picture.pixels.data(), bytes);
      return;
    }
    const absl::StatusOr<std::vector<uint8_t>> pixels = ReadPicture(picture.file.path, spec_);
    batch->errors[i] = pixels.status();
    if (pixels.ok()) std::memcpy(target + i * bytes, pixels->data(), bytes);
  };
  const std::shared_future<void> done = ForEach(pool_, count, copy_picture);
  return std::async(std::launch::deferred, [batch, done]() -> absl::StatusOr<at::Tensor> {
    done.wait();
    for (const absl::Status& error : batch->errors) {
      if (!error.ok()) return error;
    }
    return batch->pixels;
  });
}

}  // namespace tome
