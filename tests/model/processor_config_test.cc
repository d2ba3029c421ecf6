#include "server/model/processor_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

using Interpolation = Preprocessing::Interpolation;
using Resize = Preprocessing::Resize;

absl::StatusOr<Preprocessing> Read(absl::string_view text, absl::string_view model_type = "vit") {
  return ReadProcessorConfig(text, *FindTransformersFamily(model_type));
}

void ExpectRefused(absl::string_view text, const std::string& problem) {
  const absl::Status status = Read(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(status.message()), HasSubstr(problem));
}

TEST(ProcessorConfigTest, ReadsClipsShortestEdgeAndCrop) {
  const auto read = Read(R"({
      "image_processor_type": "CLIPImageProcessor", "do_resize": true,
      "size": {"shortest_edge": 336}, "resample": 3, "do_center_crop": true,
      "crop_size": {"height": 330, "width": 320}, "do_rescale": true,
      "rescale_factor": 0.00392156862745098, "do_normalize": true, "do_convert_rgb": true,
      "image_mean": [0.4, 0.5, 0.6], "image_std": [0.25, 0.5, 0.125]})");

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->resize, Resize::kShortestEdge);
  EXPECT_EQ(read->resize_height, 336);
  EXPECT_EQ(read->crop_height, 330);
  EXPECT_EQ(read->crop_width, 320);
  EXPECT_EQ(read->interpolation, Interpolation::kBicubic);
  EXPECT_EQ(read->crop_offset, Preprocessing::CropOffset::kDown);
  EXPECT_EQ(read->rescale, 1.0 / 255.0);
  EXPECT_THAT(read->mean, ElementsAre(0.4f, 0.5f, 0.6f));
  EXPECT_THAT(read->std, ElementsAre(0.25f, 0.5f, 0.125f));
}

TEST(ProcessorConfigTest, SquashesToHeightAndWidth) {
  const auto read = Read(R"({"size": {"height": 192, "width": 256}, "resample": 2})");

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->resize, Resize::kExact);
  EXPECT_EQ(read->resize_height, 192);
  EXPECT_EQ(read->resize_width, 256);
  EXPECT_EQ(read->crop_height, 192);
  EXPECT_EQ(read->crop_width, 256);
  EXPECT_EQ(read->interpolation, Interpolation::kBilinear);
}

TEST(ProcessorConfigTest, FillsInWhatTheProcessorOfTheFileOrTheFamilyDoes) {
  const auto vit = Read("{}", "vit_mae");
  ASSERT_TRUE(vit.ok()) << vit.status();
  EXPECT_EQ(vit->resize, Resize::kExact);
  EXPECT_EQ(vit->crop_height, 224);
  EXPECT_EQ(vit->interpolation, Interpolation::kBilinear);
  EXPECT_THAT(vit->mean, ElementsAre(0.5f, 0.5f, 0.5f));

  const auto deit = Read("{}", "deit");
  ASSERT_TRUE(deit.ok()) << deit.status();
  EXPECT_EQ(deit->resize, Resize::kExact);
  EXPECT_EQ(deit->resize_height, 256);
  EXPECT_EQ(deit->crop_height, 224);

  // The file's word counts more than the family's.
  const auto bit = Read(R"({"image_processor_type": "BitImageProcessorFast"})", "vit");
  ASSERT_TRUE(bit.ok()) << bit.status();
  EXPECT_EQ(bit->resize, Resize::kShortestEdge);
  EXPECT_EQ(bit->resize_height, 224);
  EXPECT_EQ(bit->crop_height, 224);
  EXPECT_THAT(bit->mean[0], FloatEq(0.48145466f));
}

TEST(ProcessorConfigTest, ReadsASizeOfOneNumberAsTheProcessorDoes) {
  const auto vit = Read(R"({"feature_extractor_type": "ViTFeatureExtractor", "size": 96})");
  ASSERT_TRUE(vit.ok()) << vit.status();
  EXPECT_EQ(vit->resize, Resize::kExact);
  EXPECT_EQ(vit->crop_width, 96);

  const auto clip =
      Read(R"({"feature_extractor_type": "CLIPFeatureExtractor", "size": 100, "crop_size": 96})");
  ASSERT_TRUE(clip.ok()) << clip.status();
  EXPECT_EQ(clip->resize, Resize::kShortestEdge);
  EXPECT_EQ(clip->resize_height, 100);
  EXPECT_EQ(clip->crop_width, 96);
}

TEST(ProcessorConfigTest, LeavesOutTheStepsThatAreOff) {
  const auto read = Read(R"({"do_resize": false, "do_center_crop": true, "crop_size": 64,
                             "do_rescale": false, "do_normalize": false})");

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->resize, Resize::kNone);
  EXPECT_EQ(read->crop_height, 64);
  EXPECT_EQ(read->rescale, 1.0);
  EXPECT_THAT(read->mean, ElementsAre(0.0f, 0.0f, 0.0f));
  EXPECT_THAT(read->std, ElementsAre(1.0f, 1.0f, 1.0f));
}

TEST(ProcessorConfigTest, FindsItselfInAProcessorOfTextAndPictures) {
  const auto read = Read(R"({"image_processor": {"image_processor_type": "SiglipImageProcessor",
                                                 "size": {"height": 384, "width": 384}},
                             "processor_class": "SiglipProcessor"})");

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->crop_height, 384);
  EXPECT_EQ(read->interpolation, Interpolation::kBicubic);
}

TEST(ProcessorConfigTest, RefusesWhatItCannotFollow) {
  ExpectRefused(R"({"image_processor_type": "ConvNextImageProcessor"})",
                R"(image_processor_type: "ConvNextImageProcessor" is not supported)");
  ExpectRefused(R"({"do_pad": true})", "do_pad: true: this option is not supported");
  ExpectRefused(R"({"size": {"longest_edge": 224}})",
                R"(size: {"longest_edge":224} is not supported; supported: height and width)");
  ExpectRefused(R"({"size": {"height": 224}})", "size: {\"height\":224} is not supported");
  ExpectRefused(R"({"size": {"shortest_edge": 224}})", "do_center_crop: without it");
  ExpectRefused(R"({"do_resize": false})", "do_center_crop: without it");
  ExpectRefused(R"({"size": {"height": 0, "width": 1}})", "size.height: 0, expected 1 to 16384");
  ExpectRefused(R"({"resample": 6})", "resample: 6, expected 0 to 5");
  ExpectRefused(R"({"rescale_factor": 0})", "rescale_factor: 0, expected a number above 0");
  ExpectRefused(R"({"image_std": [1, 0, 1]})", "image_std: [1,0,1], expected 3 numbers above 0");
  ExpectRefused(R"({"do_resize": "yes"})", "do_resize: \"yes\", expected true or false");
  ExpectRefused(R"({"image_processor": 3})", "image_processor: 3, expected an object");
  ExpectRefused("[", "is not valid JSON");
}

}  // namespace
}  // namespace tome
