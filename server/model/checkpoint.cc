#include "server/model/checkpoint.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/model/timm_config.h"

namespace tome {
namespace {

constexpr char kConfigFile[] = "config.json";
constexpr char kTensorFile[] = "model.safetensors";
// Class names of the largest label sets make a few megabytes.
constexpr size_t kMaxConfigBytes = 16 << 20;

absl::Status InFile(absl::string_view file, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

absl::StatusOr<std::string> ReadConfig(const std::string& directory) {
  std::ifstream file(absl::StrCat(directory, "/", kConfigFile), std::ios::binary);
  if (!file) return absl::NotFoundError("cannot be opened");
  std::string text;
  std::array<char, 1 << 16> chunk;
  while (file.read(chunk.data(), chunk.size()) || file.gcount() > 0) {
    text.append(chunk.data(), static_cast<size_t>(file.gcount()));
    if (text.size() > kMaxConfigBytes) {
      return absl::InvalidArgumentError(absl::StrCat("has more than ", kMaxConfigBytes, " bytes"));
    }
  }
  return text;
}

absl::StatusOr<std::string> HexSha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("SHA-256 failed");
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

}  // namespace

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& directory) {
  const absl::StatusOr<std::string> text = ReadConfig(directory);
  if (!text.ok()) return InFile(kConfigFile, text.status());
  const absl::StatusOr<TimmConfig> config = ParseTimmConfig(*text);
  if (!config.ok()) return InFile(kConfigFile, config.status());

  absl::StatusOr<SafetensorsFile> tensors =
      SafetensorsFile::Open(absl::StrCat(directory, "/", kTensorFile));
  if (!tensors.ok()) return InFile(kTensorFile, tensors.status());
  // Names a tensor or a key of config.json by itself.
  TOME_ASSIGN_OR_RETURN(VitDescription vit, DescribeVit(*config, *tensors));
  TOME_ASSIGN_OR_RETURN(std::string digest, HexSha256(tensors->file_bytes()));
  return Checkpoint{std::move(vit), *std::move(tensors), std::move(digest)};
}

}  // namespace tome
