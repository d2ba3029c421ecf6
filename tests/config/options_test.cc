#include "server/config/options.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tome {
namespace {

TEST(OptionsTest, ANameIsGivenOnce) {
  std::set<std::string> names;
  for (const Option& option : Options()) {
    EXPECT_TRUE(names.insert(option.name).second) << option.name;
  }
}

TEST(OptionsTest, FlagAndVariableFollowFromTheName) {
  EXPECT_EQ(FlagOf("max-batch-images"), "--max-batch-images");
  EXPECT_EQ(EnvironmentOf("max-batch-images"), "TOME_MAX_BATCH_IMAGES");
}

TEST(OptionsTest, EachOptionTakesItsOwnDefaultAndExplainsItself) {
  for (const Option& option : Options()) {
    ServerConfig config;
    const std::string standard = option.show(config);

    if (!standard.empty()) {
      EXPECT_TRUE(option.set(standard, config).ok()) << option.name;
    }
    EXPECT_EQ(option.show(config), standard) << option.name;
    EXPECT_FALSE(option.group.empty()) << option.name;
    EXPECT_FALSE(option.value.empty()) << option.name;
    EXPECT_GT(option.help.size(), 10u) << option.name;
  }
}

TEST(SuggestionTest, OffersTheNearestNameForASlipOnly) {
  const std::vector<std::string> names = {"listen", "metrics-listen", "dtype"};

  EXPECT_EQ(Suggestion("lisen", names), "; did you mean listen?");
  EXPECT_EQ(Suggestion("metric-listen", names), "; did you mean metrics-listen?");
  EXPECT_EQ(Suggestion("port", names), "");
  EXPECT_EQ(Suggestion("anything", {}), "");
}

}  // namespace
}  // namespace tome
