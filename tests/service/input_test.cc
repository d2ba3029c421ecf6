#include "server/service/input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "server/base/status.h"
#include "server/image/decode.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_engine.h"
#include "tests/testing/tiny_png.h"

namespace tome {
namespace {

using ::testing::HasSubstr;

class InputTest : public ::testing::Test {
 protected:
  absl::StatusOr<PreparedInput> Prepare(const Input& input) const {
    return PrepareInput(input, spec_, limits_, clock_);
  }

  // Expects INVALID_ARGUMENT at `field` whose message has `part`.
  void ExpectInvalid(const Input& input, const std::string& field, const std::string& part) const {
    const absl::Status status = Prepare(input).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(FieldOf(status), field) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }

  // A view on bytes 0, 1, 2, ... of which there are `bytes`.
  RgbView View(int height, int width, size_t bytes) {
    bytes_.resize(bytes);
    std::iota(bytes_.begin(), bytes_.end(), static_cast<uint8_t>(0));
    return {.height = height, .width = width, .pixels = bytes_};
  }

  const Preprocessing spec_ = FakeEngine::SmallModel().preprocessing;  // 8 x 8
  ImageLimits limits_;
  FakeClock clock_;
  std::vector<uint8_t> bytes_;
};

TEST_F(InputTest, TakesModelPixelsAsTheyAre) {
  const RgbView view = View(8, 8, 192);

  const absl::StatusOr<PreparedInput> prepared = Prepare(ModelPixelsInput{view});

  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->pixels, bytes_);
  EXPECT_FALSE(prepared->decode.has_value());
  EXPECT_FALSE(prepared->preprocess.has_value());
}

TEST_F(InputTest, ResizesAndCropsRgb) {
  const RgbView view = View(5, 11, 165);

  const absl::StatusOr<PreparedInput> prepared = Prepare(RgbInput{view});

  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->pixels, ResizeAndCrop(view, spec_));
  EXPECT_FALSE(prepared->decode.has_value());
  EXPECT_TRUE(prepared->preprocess.has_value());
}

TEST_F(InputTest, DecodesAFileThenResizesAndCropsIt) {
  const absl::StatusOr<PreparedInput> prepared = Prepare(EncodedInput{TinyPng()});

  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const std::vector<uint8_t> pixels = TinyPngPixels();
  EXPECT_EQ(prepared->pixels, ResizeAndCrop({.height = 2, .width = 3, .pixels = pixels}, spec_));
  EXPECT_TRUE(prepared->decode.has_value());
  EXPECT_TRUE(prepared->preprocess.has_value());
}

TEST_F(InputTest, NamesTheFieldOfAFileThatCannotBeDecoded) {
  const std::vector<uint8_t> file = TinyPng();
  const std::span<const uint8_t> truncated = std::span(file).first(file.size() - 20);

  ExpectInvalid(EncodedInput{truncated}, "input.encoded", "input.encoded: ");
  ExpectInvalid(EncodedInput{}, "input.encoded", "input.encoded: ");
}

TEST_F(InputTest, HoldsAFileToTheLimits) {
  limits_.max_side = 2;

  ExpectInvalid(EncodedInput{TinyPng()}, "input.encoded", "2");
}

TEST_F(InputTest, RefusesRgbWhoseDataIsNotOfItsSize) {
  ExpectInvalid(RgbInput{View(4, 4, 47)}, "input.rgb", "47 bytes of data, 4 x 4 pixels are 48");
  ExpectInvalid(RgbInput{View(4, 4, 49)}, "input.rgb", "49 bytes of data, 4 x 4 pixels are 48");
}

TEST_F(InputTest, RefusesRgbWithoutPixels) {
  ExpectInvalid(RgbInput{View(0, 4, 0)}, "input.rgb", "0 x 4 pixels, each side must be at least 1");
  ExpectInvalid(RgbInput{View(4, 0, 0)}, "input.rgb", "4 x 0 pixels, each side must be at least 1");
  ExpectInvalid(RgbInput{View(-4, -4, 48)}, "input.rgb", "each side must be at least 1");
}

TEST_F(InputTest, HoldsRgbToTheLimitsWhateverItsDataIs) {
  limits_.max_side = 10;
  limits_.max_pixels = 50;

  ExpectInvalid(RgbInput{View(11, 1, 33)}, "input.rgb", "11 x 1 pixels, the limit is 10 a side");
  ExpectInvalid(RgbInput{View(1, 11, 33)}, "input.rgb", "1 x 11 pixels, the limit is 10 a side");
  ExpectInvalid(RgbInput{View(6, 9, 162)}, "input.rgb", "6 x 9 pixels, the limit is 50 pixels");
}

TEST_F(InputTest, RefusesModelPixelsOfAnyOtherSize) {
  ExpectInvalid(ModelPixelsInput{View(8, 9, 216)}, "input.model_pixels",
                "8 x 9 pixels, the model takes 8 x 8");
  ExpectInvalid(ModelPixelsInput{View(8, 8, 191)}, "input.model_pixels",
                "191 bytes of data, 8 x 8 pixels are 192");
}

}  // namespace
}  // namespace tome
