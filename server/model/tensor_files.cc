#include "server/model/tensor_files.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/model/json_fields.h"

namespace tome {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

absl::Status InFile(absl::string_view file, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

// A name inside the directory itself, printable.
bool IsPlainFileName(absl::string_view name) {
  return absl::EndsWith(name, ".safetensors") && name.size() <= 200 &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~' && c != '/'; });
}

// {"metadata": {...}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}}
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(absl::string_view text) {
  TOME_ASSIGN_OR_RETURN(const Json root, ParseJsonObject(text));
  const Json* map = FindField(root, "weight_map");
  if (map == nullptr) return absl::InvalidArgumentError("weight_map: missing");
  if (!map->is_object()) return WrongField("weight_map", *map, "an object");
  std::map<std::string, std::string> file_of_tensor;
  for (const auto& [tensor, file] : map->items()) {
    const std::string key = absl::StrCat("weight_map.", absl::CEscape(tensor.substr(0, 100)));
    if (!file.is_string() || !IsPlainFileName(file.get<std::string>())) {
      return WrongField(key, file, "the name of a .safetensors file in the same directory");
    }
    file_of_tensor.emplace(tensor, file.get<std::string>());
  }
  return file_of_tensor;
}

}  // namespace

absl::StatusOr<TensorFiles> TensorFiles::Open(const std::string& directory) {
  const auto open = [&](const std::string& name) -> absl::StatusOr<SafetensorsFile> {
    absl::StatusOr<SafetensorsFile> file =
        SafetensorsFile::Open(absl::StrCat(directory, "/", name));
    if (!file.ok()) return InFile(name, file.status());
    return file;
  };
  TensorFiles result;
  absl::StatusOr<SafetensorsFile> single = open(kSingleFile);
  if (single.ok()) {
    result.files_.emplace(kSingleFile, *std::move(single));
    return result;
  }
  if (single.status().code() != absl::StatusCode::kNotFound) return single.status();

  const absl::StatusOr<std::string> text = ReadTextFile(absl::StrCat(directory, "/", kIndexFile));
  if (text.status().code() == absl::StatusCode::kNotFound) return single.status();
  if (!text.ok()) return InFile(kIndexFile, text.status());
  const auto file_of_tensor = ReadIndex(*text);
  if (!file_of_tensor.ok()) return InFile(kIndexFile, file_of_tensor.status());

  size_t tensors = 0;
  for (const auto& [tensor, name] : *file_of_tensor) {
    if (!result.files_.contains(name)) {
      TOME_ASSIGN_OR_RETURN(SafetensorsFile file, open(name));
      tensors += file.names().size();
      result.files_.emplace(name, std::move(file));
    }
    if (result.files_.at(name).Find(tensor) == nullptr) {
      return InFile(kIndexFile, absl::InvalidArgumentError(absl::StrCat(
                                    "weight_map.", absl::CEscape(tensor.substr(0, 100)), ": \"",
                                    name, "\" has no such tensor")));
    }
  }
  // Each listed tensor is where the index says; more of them are unlisted or in two files.
  if (tensors != file_of_tensor->size()) {
    return InFile(kIndexFile, absl::InvalidArgumentError(
                                  absl::StrCat("weight_map: lists ", file_of_tensor->size(),
                                               " tensors, the files have ", tensors)));
  }
  return result;
}

const TensorView* TensorFiles::Find(absl::string_view name) const {
  for (const auto& [file_name, file] : files_) {
    if (const TensorView* tensor = file.Find(name); tensor != nullptr) return tensor;
  }
  return nullptr;
}

std::vector<std::string> TensorFiles::names() const {
  std::set<std::string> names;
  for (const auto& [file_name, file] : files_) {
    for (std::string& name : file.names()) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

absl::StatusOr<std::string> TensorFiles::Digest() const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  bool ok = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const auto& [name, file] : files_) {
    const std::span<const std::byte> bytes = file.file_bytes();
    ok = ok && EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1;
  }
  if (!ok || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1) {
    return absl::InternalError("SHA-256 failed");
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

}  // namespace tome
