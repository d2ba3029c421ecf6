#include "server/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  absl::StatusOr<SafetensorsFile> Open(std::string_view bytes) {
    return SafetensorsFile::Open(directory_.Write("model.safetensors", bytes));
  }
  // Pads the header, as writers do, so that the data begins at a multiple of 8.
  absl::StatusOr<SafetensorsFile> Open(std::string header, size_t data_bytes) {
    while (header.size() % 8 != 0) header.push_back(' ');
    return Open(SafetensorsBytes(header, std::string(data_bytes, '\1')));
  }
  void ExpectRefused(const std::string& header, size_t data_bytes, absl::string_view problem) {
    const absl::StatusOr<SafetensorsFile> file = Open(header, data_bytes);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << header;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(std::string(problem)));
  }

  TemporaryDirectory directory_;
};

TEST_F(SafetensorsTest, GivesEachTensorWithItsTypeShapeAndBytes) {
  std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}})";
  while (header.size() % 8 != 0) header.push_back(' ');
  const float values[2] = {1.5f, -2.0f};
  const std::string data = std::string("\5\0\0\0\0\0\0\0", 8) +
                           std::string(reinterpret_cast<const char*>(values), sizeof(values));

  const absl::StatusOr<SafetensorsFile> file = Open(SafetensorsBytes(header, data));

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->names(), ElementsAre("a", "b"));
  ASSERT_NE(file->Find("a"), nullptr);
  EXPECT_EQ(file->Find("a")->type, TensorType::kFloat32);
  EXPECT_THAT(file->Find("a")->shape, ElementsAre(2, 1));
  EXPECT_THAT(file->Find("a")->As<float>(), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(file->Find("b")->As<int64_t>(), ElementsAre(5));
  EXPECT_EQ(file->Find("c"), nullptr);
}

TEST_F(SafetensorsTest, TakesScalarsEmptyTensorsAndAFileWithoutTensors) {
  const auto scalar = Open(
      R"({"e":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]},"s":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})",
      1);
  const auto empty = Open("{}", 0);

  ASSERT_TRUE(scalar.ok()) << scalar.status();
  EXPECT_THAT(scalar->Find("s")->shape, ElementsAre());
  EXPECT_TRUE(scalar->Find("e")->bytes.empty());
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_THAT(empty->names(), ElementsAre());
}

TEST_F(SafetensorsTest, RefusesAFileThatIsNotThere) {
  EXPECT_EQ(SafetensorsFile::Open(directory_.path() + "/none").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::Open(directory_.path()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SafetensorsTest, RefusesATruncatedFile) {
  const std::string whole =
      SafetensorsBytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "1234");
  ASSERT_TRUE(Open(whole).ok());

  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(Open(whole.substr(0, length)).status().code(), absl::StatusCode::kInvalidArgument)
        << length;
  }
}

TEST_F(SafetensorsTest, RefusesAHeaderLengthOverTheLimitOrTheFile) {
  std::string gigabyte = SafetensorsBytes("{}", "");
  gigabyte[3] = '\x40';
  std::string largest = SafetensorsBytes("{}", "");
  for (int i = 0; i < 8; ++i) largest[i] = '\xff';

  EXPECT_THAT(std::string(Open(gigabyte).status().message()),
              HasSubstr("claims a header of 1073741826 bytes, the limit is 100000000"));
  EXPECT_THAT(std::string(Open(largest).status().message()),
              HasSubstr("claims a header of 18446744073709551615 bytes"));
}

TEST_F(SafetensorsTest, RefusesOverlapHolesAndTrailingBytes) {
  ExpectRefused(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
      7, "b: starts at byte 3 of the tensors, where 4 bytes come before: an overlap");
  ExpectRefused(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})",
      9, "b: starts at byte 5 of the tensors, where 4 bytes come before: a hole");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 5,
                "has 1 bytes behind the last tensor");
}

TEST_F(SafetensorsTest, RefusesBytesOutsideTheFile) {
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3,
                "a: bytes 0 to 4 of the file's 3 bytes of tensors");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4, "a: bytes 4 to 0");
  ExpectRefused(
      R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]}})",
      4, "a: bytes 18446744073709551615 to 18446744073709551615");
}

TEST_F(SafetensorsTest, RefusesASizeThatIsNotTheShapes) {
  ExpectRefused(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})", 20,
                "a: 20 bytes, but F32 of shape [2, 3] has 24");
  ExpectRefused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                "a: shape [4294967296, 4294967296] overflows 64 bits of bytes");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}})", 0,
                "overflows");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "a: the number -1");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1,
                "a: the number 1.0");
}

TEST_F(SafetensorsTest, RefusesAMisalignedTensor) {
  ExpectRefused(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
      6, "which F32 needs to be a multiple of 4");
  // A header that is not padded shifts every tensor.
  const absl::StatusOr<SafetensorsFile> shifted =
      Open(SafetensorsBytes(R"({"ab":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"));
  EXPECT_THAT(std::string(shifted.status().message()), HasSubstr("ab: starts at byte 63"));
}

TEST_F(SafetensorsTest, RefusesANameOrKeyThatComesTwice) {
  ExpectRefused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
      2, "a: the name comes twice");
  ExpectRefused(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1,
                "a: dtype comes twice");
}

TEST_F(SafetensorsTest, RefusesWhatTheFormatDoesNotName) {
  ExpectRefused(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,1]}})", 1,
                "a: unknown dtype \"F31\"");
  ExpectRefused(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "a: dtype is missing");
  ExpectRefused(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "a: shape is missing");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[1]}})", 1, "a: data_offsets is missing");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1,
                "a: data_offsets has 1 numbers, expected 2");
  ExpectRefused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1,
                "a: unknown key \"x\"");
  ExpectRefused(R"({"a":7})", 0, "a: a number where the format has none");
  ExpectRefused(R"({"a":null})", 0, "a: null");
  ExpectRefused(R"({"__metadata__":{"a":{}}})", 0, "__metadata__: an object");
  ExpectRefused(R"({"__metadata__":{"a":1}})", 0, "__metadata__: a number");
  ExpectRefused("[]", 0, "the header begins with a list");
  ExpectRefused("{", 0, "the header is not valid JSON");
  ExpectRefused("{} {}", 0, "the header is not valid JSON");
  ExpectRefused("", 0, "the header is not valid JSON");
}

TEST_F(SafetensorsTest, RefusesAHeaderThatNestsOrListsWithoutEnd) {
  const std::string deep(10'000'000, '[');
  std::string wide = R"({"a":{"dtype":"U8","shape":[0)";
  for (int i = 0; i < 1'000'000; ++i) wide += ",0";

  ExpectRefused(R"({"a":{"dtype":"U8","shape":)" + deep, 0, "a: a list where the format has none");
  ExpectRefused(deep, 0, "the header begins with a list");
  ExpectRefused(wide, 0, "a: a list has more than 16 numbers");
  ExpectRefused("{\"" + std::string(5000, 'n') + "\":{}}", 0, "the name has 5000 bytes");
}

TEST_F(SafetensorsTest, RefusesMoreTensorsThanAnyModelHas) {
  std::string header = "{";
  for (int i = 0; i <= 100'000; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"", i,
                    R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }

  ExpectRefused(header + "}", 0, "the header names more than 100000 tensors");
}

}  // namespace
}  // namespace tome
