#include "client/cli/jsonl_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include <nlohmann/json.hpp>

namespace tome::client {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(JsonlWriterTest, WritesTheShortestDigitsThatGiveTheSameFloat) {
  std::ostringstream out;
  Embedding embedding;
  embedding.vector = {0.1f, 1.0f / 3.0f, 1e-20f};

  ASSERT_TRUE(JsonlWriter("memory", out).Write("a.jpg", embedding).ok());

  EXPECT_THAT(out.str(), HasSubstr("\"vector\":[0.1,"));
  const json vector = json::parse(out.str())["vector"];
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(vector[i].get<float>(), embedding.vector[i]);
}

TEST(JsonlWriterTest, StaysJsonForInfinityAndForANameThatIsNotUtf8) {
  std::ostringstream out;
  Embedding embedding;
  embedding.vector = {std::numeric_limits<float>::infinity()};

  ASSERT_TRUE(JsonlWriter("memory", out).Write("caf\xe9 \"a\"\n.jpg", embedding).ok());

  const json line = json::parse(out.str());
  EXPECT_TRUE(line["vector"][0].is_null()) << line;
  EXPECT_EQ(line["path"], "caf\xef\xbf\xbd \"a\"\n.jpg");
}

TEST(JsonlWriterTest, TellsWhenItCannotWrite) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);

  const absl::Status status = JsonlWriter("memory", out).Write("a.jpg", Embedding());

  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write memory"));
}

}  // namespace
}  // namespace tome::client
