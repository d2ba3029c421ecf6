#include "client/cli/served_checkpoint.h"

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/cli/json.h"

namespace tome::client {
namespace {

absl::Status Unreadable(const std::string& path) {
  return absl::InvalidArgumentError(absl::StrCat("--model: cannot read ", path));
}

// The names of a checkpoint's files of weights, sorted: the one, or those of the index.
absl::StatusOr<std::set<std::string>> FilesOfWeights(const std::string& directory) {
  constexpr char kSingleFile[] = "model.safetensors";
  const std::string single = absl::StrCat(directory, "/", kSingleFile);
  if (std::filesystem::exists(single)) return std::set<std::string>{kSingleFile};
  const std::string index = single + ".index.json";
  std::ifstream in(index, std::ios::binary);
  if (!in.is_open()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--model: ", directory, " holds neither model.safetensors nor its shards and their index"));
  }
  const Json root = Json::parse(in, /*cb=*/nullptr, /*allow_exceptions=*/false);
  const Json map = root.is_object() ? root.value("weight_map", Json()) : Json();
  std::set<std::string> files;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) return Unreadable(index);
    files.insert(file.get<std::string>());
  }
  if (files.empty()) return Unreadable(index);
  return files;
}

// As the server reports it: SHA-256 over the files, one behind the other.
absl::StatusOr<std::string> WeightsDigest(const std::string& directory) {
  const absl::StatusOr<std::set<std::string>> files = FilesOfWeights(directory);
  if (!files.ok()) return files.status();
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  bool ok = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  constexpr size_t kBytesAtOnce = size_t{1} << 20;
  std::vector<char> bytes(kBytesAtOnce);
  for (const std::string& name : *files) {
    const std::string path = absl::StrCat(directory, "/", name);
    std::ifstream in(path, std::ios::binary);
    if (!in.is_open()) return Unreadable(path);
    while (ok && !in.eof()) {
      in.read(bytes.data(), kBytesAtOnce);
      if (in.bad()) return Unreadable(path);
      ok = EVP_DigestUpdate(context.get(), bytes.data(), static_cast<size_t>(in.gcount())) == 1;
    }
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (!ok || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1) {
    return absl::InternalError("SHA-256 failed");
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

}  // namespace

bool IsCheckpointDirectory(const std::string& model) { return absl::StrContains(model, '/'); }

absl::StatusOr<std::string> ServedName(Client& client, const GlobalOptions& global,
                                       const std::string& model) {
  if (!IsCheckpointDirectory(model)) return model;
  const absl::StatusOr<std::string> digest = WeightsDigest(model);
  if (!digest.ok()) return digest.status();
  const absl::StatusOr<std::vector<Model>> held = client.ListModels(FirstCall(global));
  if (!held.ok()) return held.status();
  std::vector<std::string> names;
  for (const Model& each : *held) {
    if (each.weights_digest == *digest) names.push_back(each.name);
  }
  if (names.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("--model: the server holds the weights in ",
                                                   model, " as ", absl::StrJoin(names, " and "),
                                                   "; name one of them"));
  }
  if (names.empty()) {
    const auto shown = [](std::string* out, const Model& each) {
      absl::StrAppend(out, each.name, " (", each.weights_digest.substr(0, 12), ")");
    };
    return absl::NotFoundError(absl::StrCat("--model: the server does not hold the weights in ",
                                            model, " (", digest->substr(0, 12), "), it holds ",
                                            absl::StrJoin(*held, ", ", shown)));
  }
  return names.front();
}

}  // namespace tome::client
