#include "server/config/values.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"

namespace tome {
namespace {

TEST(ParseIntegerTest, TakesWholeNumbersOfItsRange) {
  EXPECT_EQ(ParseInteger("1", 1, 8).value(), 1);
  EXPECT_EQ(ParseInteger("8", 1, 8).value(), 8);
  EXPECT_EQ(ParseInteger("0", 1, 8).status().message(), "\"0\" is not a whole number from 1 to 8");
  for (const char* text :
       {"9", "-1", "+1", " 1", "1 ", "1.0", "1e1", "0x1", "", "one", "99999999999999999999"}) {
    EXPECT_FALSE(ParseInteger(text, 1, 8).ok()) << text;
  }
}

TEST(ParseDurationTest, TakesUnitsOfTimeInItsRange) {
  const auto parse = [](const char* text) {
    return ParseDuration(text, absl::ZeroDuration(), absl::Hours(1));
  };

  EXPECT_EQ(parse("0").value(), absl::ZeroDuration());
  EXPECT_EQ(parse("500ms").value(), absl::Milliseconds(500));
  EXPECT_EQ(parse("30s").value(), absl::Seconds(30));
  EXPECT_EQ(parse("1.5m").value(), absl::Seconds(90));
  EXPECT_EQ(parse("5m10s").value(), absl::Seconds(310));
  EXPECT_EQ(parse("1h").value(), absl::Hours(1));
  EXPECT_EQ(parse("30").status().message(),
            "\"30\" is not a duration from 0 to 1h, written as 500ms, 30s or 5m");
  for (const char* text : {"-1s", "61m", "inf", "", "s", "1 s", "1d"}) {
    EXPECT_FALSE(parse(text).ok()) << text;
  }
}

TEST(ParseBytesTest, TakesPlainAndBinaryUnitsInItsRange) {
  const auto parse = [](const char* text) { return ParseBytes(text, 1, int64_t{4} << 30); };

  EXPECT_EQ(parse("1").value(), 1);
  EXPECT_EQ(parse("20971520").value(), 20 << 20);
  EXPECT_EQ(parse("512KiB").value(), 512 << 10);
  EXPECT_EQ(parse("20MiB").value(), 20 << 20);
  EXPECT_EQ(parse("4GiB").value(), int64_t{4} << 30);
  EXPECT_EQ(parse("5GiB").status().message(),
            "\"5GiB\" is not a size from 1 to 4GiB, in bytes or with KiB, MiB or GiB");
  for (const char* text :
       {"0", "", "MiB", "-1MiB", "1MB", "1 MiB", "1.5MiB", "1mib", "9223372036854775807GiB"}) {
    EXPECT_FALSE(parse(text).ok()) << text;
  }
}

TEST(FormatBytesTest, WritesTheShortestTextThatIsExact) {
  EXPECT_EQ(FormatBytes(0), "0");
  EXPECT_EQ(FormatBytes(1000), "1000");
  EXPECT_EQ(FormatBytes(1024), "1KiB");
  EXPECT_EQ(FormatBytes((1 << 20) + 1024), "1025KiB");
  EXPECT_EQ(FormatBytes(64 << 20), "64MiB");
  EXPECT_EQ(FormatBytes(int64_t{3} << 30), "3GiB");
}

TEST(ParseScheduleTest, TakesTheThreeKindsAndWritesThemBack) {
  for (const char* text :
       {"0", "8", "1048576", "linear:16:-1", "linear:8:0.5", "blocks:4,0,7", "blocks:3"}) {
    const auto schedule = ParseSchedule(text);

    ASSERT_TRUE(schedule.ok()) << schedule.status();
    EXPECT_EQ(FormatSchedule(*schedule), text);
  }
}

TEST(ParseScheduleTest, GivesTheScheduleOfThePaper) {
  EXPECT_EQ(ParseSchedule("16")->PerBlockMerges(3), (std::vector<int>{16, 16, 16}));
  EXPECT_EQ(ParseSchedule("linear:16:-1")->PerBlockMerges(12),
            (std::vector<int>{32, 29, 26, 23, 20, 17, 14, 11, 8, 5, 2, 0}));
  EXPECT_EQ(ParseSchedule("blocks:4,0,7")->PerBlockMerges(5), (std::vector<int>{4, 0, 7, 0, 0}));
}

TEST(ParseScheduleTest, RefusesWhatNoScheduleIs) {
  for (const char* text : {"", "-1", "1048577", "8.5", "linear", "linear:8", "linear:8:",
                           "linear:8:1.5", "linear:8:nan", "linear:-8:0", "blocks:", "blocks:1,",
                           "blocks:1,,2", "blocks:1, 2", "square:8", "linear:8:0:1"}) {
    const auto schedule = ParseSchedule(text);

    ASSERT_FALSE(schedule.ok()) << text;
    EXPECT_TRUE(absl::StrContains(schedule.status().message(), "linear:R:INFLECTION"))
        << schedule.status();
  }
}

TEST(CheckAddressTest, TakesHostNamesAndBothKindsOfAddresses) {
  for (const char* text : {"127.0.0.1:50051", "0.0.0.0:0", "localhost:65535", "[::1]:50051",
                           "[::]:9464", "tome-0.tome.svc:1", "[2001:db8::7]:80"}) {
    EXPECT_TRUE(CheckAddress(text).ok()) << CheckAddress(text);
  }
}

TEST(CheckAddressTest, RefusesWhatCannotBeBound) {
  for (const char* text :
       {"", "50051", ":50051", "localhost", "localhost:", "localhost:65536", "localhost:-1",
        "localhost:http", "::1:50051", "[::1]", "[::1:50051", "[127.0.0.1]:1", "[zz]:1",
        "999.1.1.1:1", "1.2.3:1", "a b:1", "*:50051", "http://localhost:80"}) {
    EXPECT_FALSE(CheckAddress(text).ok()) << text;
  }
}

TEST(CheckModelNameTest, TakesWhatIsSafeInLabelsAndPaths) {
  EXPECT_TRUE(CheckModelName("vit_small-16.v2").ok());
  EXPECT_TRUE(CheckModelName(std::string(64, 'a')).ok());
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a b"),
                                  std::string("a/b"), std::string("caf\xc3\xa9")}) {
    EXPECT_FALSE(CheckModelName(name).ok()) << name;
  }
}

}  // namespace
}  // namespace tome
