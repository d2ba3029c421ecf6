#include "tests/model/oracle.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace tome {

std::vector<OracleSchedule> OracleSchedules() {
  return {{"r0", MergeSchedule()},
          {"r3", MergeSchedule::Constant{3}},
          {"r5", MergeSchedule::Constant{5}},
          {"r30_capped", MergeSchedule::Constant{30}},
          {"linear_r3_inflect-1", MergeSchedule::Linear{3, -1.0}},
          {"linear_r3_inflect+1", MergeSchedule::Linear{3, 1.0}},
          {"per_block", MergeSchedule::PerBlock{{4, 0, 7, 1, 0, 2}}}};
}

std::string OracleDirectory(const std::string& model) {
  return absl::StrCat(TOME_TEST_DATA, "/", model);
}

SafetensorsFile OpenOracleFile(const std::string& name) {
  absl::StatusOr<SafetensorsFile> file =
      SafetensorsFile::Open(absl::StrCat(TOME_TEST_DATA, "/", name, ".safetensors"));
  if (!file.ok()) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), file.status().ToString().c_str());
    std::abort();
  }
  return *std::move(file);
}

OracleResults::OracleResults(const std::string& model, const std::string& schedule)
    : file_(OpenOracleFile(absl::StrCat(model, "/", schedule))) {}

template <typename T>
std::vector<T> OracleResults::Row(const std::string& name, int image) const {
  const TensorView* tensor = file_.Find(name);
  if (tensor == nullptr) return {};
  const auto row = tensor->As<T>().subspan(image * tensor->shape[1], tensor->shape[1]);
  return {row.begin(), row.end()};
}

std::vector<float> OracleResults::Embedding(int image) const {
  return Row<float>("embedding", image);
}

std::vector<int> OracleResults::TokenCounts() const {
  const auto counts = file_.Find("token_counts")->As<int32_t>();
  return {counts.begin(), counts.end()};
}

std::vector<float> OracleResults::Size(int image) const { return Row<float>("size", image); }

std::vector<int> OracleResults::GroupOfToken(int image) const {
  return Row<int32_t>("group_of_token", image);
}

TokenMatch OracleResults::Match(int block, int image) const {
  const std::string plan = absl::StrCat("plan", block, "_");
  return {.kept = Row<int32_t>(plan + "keep", image),
          .source = Row<int32_t>(plan + "src", image),
          .destination = Row<int32_t>(plan + "dst", image)};
}

}  // namespace tome
