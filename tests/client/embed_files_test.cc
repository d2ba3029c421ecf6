#include "client/cli/embed_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/client/fake_server.h"
#include "tests/testing/temporary_directory.h"

namespace tome::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using tome::v1::EmbedRequest;

class RowsInMemory final : public RowWriter {
 public:
  absl::Status Write(const std::string& path, const Embedding&) override {
    paths.push_back(path);
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }

  std::vector<std::string> paths;
};

std::unique_ptr<Client> ConnectWithoutRetries(const FakeServer& server) {
  ClientOptions options;
  options.server = server.address();
  options.retry.max_unavailable_retries = 0;
  return std::move(Client::Create(options)).value();
}

EmbedFilesResult Embed(Client& client, const std::vector<std::string>& files, RowWriter& writer,
                       absl::FunctionRef<bool()> interrupted) {
  EmbedFilesOptions options;
  options.concurrency = 2;
  size_t given = 0;
  const auto next_file = [&] {
    return given < files.size() ? std::optional(files[given++]) : std::nullopt;
  };
  return EmbedFiles(client, next_file, options, writer, interrupted, [](const Progress&) {});
}

TEST(EmbedFilesTest, BreaksOffWhenTheServerStaysUnavailable) {
  FakeServer server([](const EmbedRequest& request, int) {
    return request.input().encoded() == "first"
               ? FakeServer::Answer({1.0f})
               : FakeServer::Error(grpc::StatusCode::UNAVAILABLE, "gone");
  });
  TemporaryDirectory folder;
  const std::string first = folder.Write("a.jpg", "first");
  std::vector<std::string> files(100, folder.Write("b.jpg", "other"));
  files[0] = first;
  const std::unique_ptr<Client> client = ConnectWithoutRetries(server);
  RowsInMemory rows;

  const EmbedFilesResult result = Embed(*client, files, rows, [] { return false; });

  EXPECT_EQ(result.broken_off.code(), absl::StatusCode::kUnavailable) << result.broken_off;
  EXPECT_EQ(result.embedded, 1);
  EXPECT_THAT(rows.paths, ElementsAre(first));
  EXPECT_GE(result.failed.size(), 1u);
  EXPECT_LT(server.calls().size(), 20u);
}

TEST(EmbedFilesTest, WritesTheRowsThatWaitForOneThatIsBrokenOff) {
  FakeServer server([](const EmbedRequest& request, int) {
    return request.input().encoded() == "hangs" ? FakeServer::Never() : FakeServer::Answer({1.0f});
  });
  TemporaryDirectory folder;
  const std::string hangs = folder.Write("a.jpg", "hangs");
  const std::string waits = folder.Write("b.jpg", "waits");
  const std::unique_ptr<Client> client = ConnectWithoutRetries(server);
  RowsInMemory rows;
  // Room for 8 rows: the eighth call is sent when all others but the first were answered.
  std::vector<std::string> files(20, waits);
  files[0] = hangs;

  const EmbedFilesResult result =
      Embed(*client, files, rows, [&] { return server.calls().size() == 8; });

  EXPECT_EQ(result.broken_off.code(), absl::StatusCode::kCancelled);
  EXPECT_GE(result.embedded, 6);
  EXPECT_EQ(rows.paths, std::vector(result.embedded, waits));
  EXPECT_THAT(result.failed, IsEmpty());
}

}  // namespace
}  // namespace tome::client
