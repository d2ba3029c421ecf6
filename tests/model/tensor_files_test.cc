#include "server/model/tensor_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::ElementsAre;

constexpr char kIndex[] = "model.safetensors.index.json";

// Two shards of one tensor each, and their index.
class TensorFilesTest : public testing::Test {
 protected:
  TensorFilesTest() {
    WriteShard("model-00001-of-00002.safetensors", "a", "1234");
    WriteShard("model-00002-of-00002.safetensors", "b", "5678");
    directory_.Write(kIndex, R"({"metadata": {"total_size": 8}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
  }
  void WriteShard(const std::string& file, const std::string& tensor, const std::string& data) {
    Write(file, "{\"" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", data);
  }
  // Spaces behind the header align the data.
  void Write(const std::string& file, std::string header, const std::string& data) {
    while (header.size() % 8 != 0) header.push_back(' ');
    directory_.Write(file, SafetensorsBytes(header, data));
  }
  void ExpectRefused(const std::string& problem) {
    EXPECT_EQ(TensorFiles::Open(directory_.path()).status(), absl::InvalidArgumentError(problem));
  }

  TemporaryDirectory directory_;
};

TEST_F(TensorFilesTest, FindsATensorInWhicheverShard) {
  const auto files = TensorFiles::Open(directory_.path());

  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(files->names(), ElementsAre("a", "b"));
  EXPECT_EQ(files->Find("b")->bytes[0], std::byte{'5'});
  EXPECT_EQ(files->Find("c"), nullptr);
}

TEST_F(TensorFilesTest, DigestsAllShardsAsOne) {
  const std::string before = *TensorFiles::Open(directory_.path())->Digest();
  WriteShard("model-00002-of-00002.safetensors", "b", "5679");

  EXPECT_NE(*TensorFiles::Open(directory_.path())->Digest(), before);
}

TEST_F(TensorFilesTest, PrefersTheSingleFile) {
  WriteShard("model.safetensors", "whole", "0000");

  EXPECT_THAT(TensorFiles::Open(directory_.path())->names(), ElementsAre("whole"));
}

TEST_F(TensorFilesTest, NamesTheFileThatIsMissing) {
  EXPECT_EQ(TensorFiles::Open(TemporaryDirectory().path()).status().code(),
            absl::StatusCode::kNotFound);

  directory_.Write(kIndex, R"({"weight_map": {"a": "model-3.safetensors"}})");
  EXPECT_EQ(TensorFiles::Open(directory_.path()).status(),
            absl::NotFoundError("model-3.safetensors: No such file or directory"));
}

TEST_F(TensorFilesTest, RefusesAnIndexThatTheShardsContradict) {
  directory_.Write(kIndex, R"({"weight_map": {"a": "model-00001-of-00002.safetensors",
                                              "c": "model-00002-of-00002.safetensors"}})");
  ExpectRefused(
      "model.safetensors.index.json: weight_map.c: \"model-00002-of-00002.safetensors\" has no "
      "such "
      "tensor");

  // A tensor that two shards have.
  WriteShard("model-00002-of-00002.safetensors", "a", "9999");
  Write("model-00001-of-00002.safetensors",
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
        "12345678");
  directory_.Write(kIndex, R"({"weight_map": {"a": "model-00002-of-00002.safetensors",
                                              "b": "model-00001-of-00002.safetensors"}})");
  ExpectRefused("model.safetensors.index.json: weight_map: lists 2 tensors, the files have 3");
}

TEST_F(TensorFilesTest, LeavesTheDirectoryForNoFile) {
  for (const std::string file : {"../model.safetensors", "/etc/x.safetensors", "model.bin", ""}) {
    directory_.Write(kIndex, R"({"weight_map": {"a": ")" + file + "\"}}");
    ExpectRefused("model.safetensors.index.json: weight_map.a: \"" + file +
                  "\", expected the name of a .safetensors file in the same directory");
  }
  directory_.Write(kIndex, "{}");
  ExpectRefused("model.safetensors.index.json: weight_map: missing");
}

}  // namespace
}  // namespace tome
