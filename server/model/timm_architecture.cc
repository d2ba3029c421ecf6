#include "server/model/timm_architecture.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tome {
namespace {

struct Size {
  absl::string_view name;
  int heads;
};
constexpr std::array<Size, 12> kSizes = {{
    {"tiny", 3},
    {"xsmall", 4},
    {"small", 6},
    {"medium", 8},
    {"betwixt", 10},
    {"base", 12},
    {"large", 16},
    {"huge", 16},
    {"giant", 16},
    {"gigantic", 16},
    {"so400m", 16},
    {"giantopt", 16},
}};

struct Kind {
  absl::string_view name;
  absl::string_view family;  // empty: the model's own
  bool has_input_side;
  VitActivation activation = VitActivation::kGelu;
  VitPooling pooling = VitPooling::kClassToken;
};
constexpr std::array<Kind, 7> kKinds = {{
    {"", "", true},
    {"dinov2", "dinov2", false},
    {"reg4_dinov2", "dinov2", false},
    {"clip_", "clip", true},
    {"clip_quickgelu_", "clip", true, VitActivation::kQuickGelu},
    {"siglip_", "siglip", true, VitActivation::kGelu, VitPooling::kAttention},
    {"siglip_gap_", "siglip", true, VitActivation::kGelu, VitPooling::kMeanOfPatches},
}};

// The digits in front of `text`, which loses them.
absl::string_view ConsumeDigits(absl::string_view* text) {
  const auto end = std::ranges::find_if(*text, [](char c) { return c < '0' || c > '9'; });
  const absl::string_view digits = text->substr(0, end - text->begin());
  text->remove_prefix(digits.size());
  return digits;
}

const Kind* FindKind(absl::string_view text, absl::string_view* side) {
  for (const Kind& kind : kKinds) {
    absl::string_view rest = text;
    if (!absl::ConsumePrefix(&rest, kind.name)) continue;
    *side = ConsumeDigits(&rest);
    if (rest.empty() && side->empty() != kind.has_input_side) return &kind;
  }
  return nullptr;
}

// timm's first SigLIP models came with exact GELU, the later ones with the tanh that all of them
// were trained with.
bool SiglipHasTanh(absl::string_view size, absl::string_view patch, absl::string_view side) {
  return size == "giantopt" || (size == "so400m" && patch == "16") ||
         (size == "large" && side == "512") || patch == "32";
}

}  // namespace

std::optional<TimmArchitecture> FindTimmArchitecture(absl::string_view name) {
  absl::string_view rest = name;
  absl::string_view model;
  for (const absl::string_view each : {"vit", "deit", "deit3"}) {
    if (absl::StartsWith(rest, absl::StrCat(each, "_"))) model = each;
  }
  if (model.empty()) return std::nullopt;
  rest.remove_prefix(model.size() + 1);

  const auto* size = std::ranges::find_if(kSizes, [&](const Size& each) {
    return absl::ConsumePrefix(&rest, absl::StrCat(each.name, "_"));
  });
  if (size == kSizes.end()) return std::nullopt;
  absl::ConsumePrefix(&rest, "distilled_");
  if (!absl::ConsumePrefix(&rest, "patch")) return std::nullopt;
  const absl::string_view patch = ConsumeDigits(&rest);
  if (patch.empty() || !absl::ConsumePrefix(&rest, "_")) return std::nullopt;
  absl::string_view side;
  const Kind* kind = FindKind(rest, &side);
  if (kind == nullptr) return std::nullopt;

  TimmArchitecture result;
  result.heads = size->heads;
  result.activation = kind->activation;
  result.pooling = kind->pooling;
  const absl::string_view own_family = model == "vit" ? "vit" : "deit";
  result.family = TimmFamily(kind->family.empty() ? own_family : kind->family);
  if (kind->family == "dinov2" && size->name == "giant") result.heads = 24;
  if (kind->family == "siglip" && SiglipHasTanh(size->name, patch, side)) {
    result.activation = VitActivation::kGeluTanh;
  }
  return result;
}

}  // namespace tome
