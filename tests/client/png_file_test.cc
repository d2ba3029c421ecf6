#include "client/cli/png_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tome::client {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(PngBytesTest, AreThoseOfAPngFile) {
  const absl::StatusOr<std::string> png = PngBytes({1, 2, "RGBRGB"});

  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_THAT(*png, StartsWith("\x89PNG\r\n"));
}

TEST(PngBytesTest, RefusesAPictureWithoutPixels) {
  const absl::StatusOr<std::string> png = PngBytes({0, 2, ""});

  EXPECT_EQ(png.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(png.status().message()), HasSubstr("no PNG of 0 x 2 pixels: "));
}

}  // namespace
}  // namespace tome::client
