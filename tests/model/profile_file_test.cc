#include "server/model/profile_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_replace.h"

#include "server/model/checkpoint.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::HasSubstr;

constexpr char kProfile[] = R"({
  "weights_digest": "ab12", "dtype": "float32", "images": 40, "date": "2026-01-02",
  "steps": [
    {"r": 0, "fidelity": 1, "fidelity_p5": 1, "recall_at_10": 1, "flop_ratio": 1},
    {"r": 8, "fidelity": 0.98, "fidelity_p5": 0.95, "recall_at_10": 0.9, "flop_ratio": 1.4}
  ]
})";

std::string With(const std::string& old, const std::string& changed) {
  return absl::StrReplaceAll(kProfile, {{old, changed}});
}

TEST(ReadProfileTest, KeepsEveryNumber) {
  const auto profile = ReadProfile(kProfile, "ab12");

  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->images, 40);
  EXPECT_EQ(profile->date, "2026-01-02");
  ASSERT_EQ(profile->steps.size(), 2u);
  EXPECT_EQ(profile->steps[1].r, 8);
  EXPECT_EQ(profile->steps[1].fidelity, 0.98);
  EXPECT_EQ(profile->steps[1].fidelity_p5, 0.95);
  EXPECT_EQ(profile->steps[1].recall_at_10, 0.9);
  EXPECT_EQ(profile->steps[1].flop_ratio, 1.4);
}

TEST(ReadProfileTest, RefusesOneOfOtherWeights) {
  EXPECT_THAT(ReadProfile(kProfile, "cd34").status().message(),
              HasSubstr("weights_digest: \"ab12\" was calibrated, but the weights are cd34; "
                        "calibrate again, or take the file away"));
}

TEST(ReadProfileTest, NamesTheKeyThatIsWrong) {
  const auto message = [](const std::string& text) {
    return std::string(ReadProfile(text, "ab12").status().message());
  };

  EXPECT_THAT(message("[]"), HasSubstr("object"));
  EXPECT_THAT(message(With("\"steps\"", "\"stages\"")), HasSubstr("steps: missing"));
  EXPECT_THAT(message(With("\"images\": 40, ", "")), HasSubstr("images: missing"));
  EXPECT_THAT(message(With("2026-01-02", "yesterday")), HasSubstr("date: \"yesterday\""));
  EXPECT_THAT(message(With("\"date\": \"2026-01-02\",", "")), HasSubstr("date: \"\""));
  EXPECT_THAT(message(With("0.98", "1.5")), HasSubstr("steps[1].fidelity: 1.5"));
  EXPECT_THAT(message(With("\"recall_at_10\": 0.9,", "")),
              HasSubstr("steps[1].recall_at_10: missing"));
  EXPECT_THAT(message(With("\"r\": 8", "\"r\": 0")), HasSubstr("steps[1].r: 0"));
  EXPECT_THAT(message(With("\"r\": 0", "\"r\": 2")), HasSubstr("steps[0].r: 2"));
}

TEST(CheckpointProfileTest, IsReadFromTheDirectoryWhereThereIsOne) {
  TemporaryDirectory directory;
  TestCheckpoint().Write(directory);
  const auto without = OpenCheckpoint(directory.path());
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(without->profile.has_value());

  directory.Write("profile.json", With("ab12", without->weights_digest));
  const auto with = OpenCheckpoint(directory.path());
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(with->profile->images, 40);

  directory.Write("profile.json", kProfile);
  EXPECT_THAT(OpenCheckpoint(directory.path()).status().message(),
              HasSubstr("profile.json: weights_digest: \"ab12\" was calibrated"));
}

}  // namespace
}  // namespace tome
