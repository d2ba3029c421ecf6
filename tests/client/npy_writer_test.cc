#include "client/cli/npy_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/client/npy.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;

Embedding WithVector(std::vector<float> vector) {
  Embedding embedding;
  embedding.vector = std::move(vector);
  return embedding;
}

TEST(NpyWriterTest, ReadsAsEmptyUntilItIsFinished) {
  TemporaryDirectory folder;
  const auto writer = std::move(NpyWriter::Create(folder / "out.npy", 2)).value();
  ASSERT_TRUE(writer->Write("a.jpg", WithVector({1.0f, 2.0f})).ok());

  EXPECT_THAT(ParseNpy(folder.Read("out.npy")).shape, ElementsAre(0, 2));

  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_THAT(ParseNpy(folder.Read("out.npy")).shape, ElementsAre(1, 2));
}

TEST(NpyWriterTest, LeavesOutARowThatDoesNotFitAndGoesOn) {
  TemporaryDirectory folder;
  const auto writer = std::move(NpyWriter::Create(folder / "out.npy", 2)).value();

  EXPECT_EQ(writer->Write("a.jpg", WithVector({1.0f})).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer->Write("b\n.jpg", WithVector({1.0f, 2.0f})).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(writer->Write("c.jpg", WithVector({3.0f, 4.0f})).ok());
  EXPECT_TRUE(writer->Finish().ok());

  EXPECT_THAT(ParseNpy(folder.Read("out.npy")).values, ElementsAre(3.0f, 4.0f));
  EXPECT_EQ(folder.Read("out.npy.paths.txt"), "c.jpg\n");
}

TEST(NpyWriterTest, TellsWhichFileItCannotCreate) {
  TemporaryDirectory folder;

  const absl::Status status = NpyWriter::Create(folder / "missing/out.npy", 2).status();

  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(::testing::HasSubstr("missing/out.npy"),
                               ::testing::HasSubstr("No such file or directory")));
}

}  // namespace
}  // namespace tome::client
