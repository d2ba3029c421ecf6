#include "server/rpc/convert.h"

#include <bit>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/merge/flops.h"
#include "server/merge/merge_plan.h"
#include "server/rpc/duration.h"
#include "server/rpc/status.h"

namespace tome {
namespace {

// Tokens go over the wire little-endian, as memory holds them.
static_assert(std::endian::native == std::endian::little);

std::span<const uint8_t> BytesOf(const std::string& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

absl::Status CheckR(const std::string& field, uint32_t r) {
  if (MergeSchedule::IsValidR(r)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(r, " is more than ", MergeSchedule::kMaxR));
}

absl::StatusOr<std::optional<MergeSchedule>> ToLinear(const v1::MergeSpec::Linear& linear) {
  TOME_RETURN_IF_ERROR(CheckR("merge.linear.mean_r", linear.mean_r()));
  if (!MergeSchedule::IsValidInflection(linear.inflection())) {
    return InvalidField("merge.linear.inflection",
                        absl::StrCat(linear.inflection(), " is outside [-1, 1]"));
  }
  return MergeSchedule(MergeSchedule::Linear{.mean_r = static_cast<int>(linear.mean_r()),
                                             .inflection = linear.inflection()});
}

absl::StatusOr<std::optional<MergeSchedule>> ToPerBlock(const v1::MergeSpec::PerBlock& per_block) {
  MergeSchedule::PerBlock schedule;
  schedule.r.reserve(per_block.r_size());
  for (int block = 0; block < per_block.r_size(); ++block) {
    if (!MergeSchedule::IsValidR(per_block.r(block))) {
      return CheckR(absl::StrCat("merge.per_block.r[", block, "]"), per_block.r(block));
    }
    schedule.r.push_back(static_cast<int>(per_block.r(block)));
  }
  return MergeSchedule(std::move(schedule));
}

// Whether sides and data agree is the service's matter.
absl::StatusOr<RgbView> ToView(absl::string_view field, const v1::RawImage& image) {
  constexpr uint32_t kLongestSide = std::numeric_limits<int>::max();
  if (image.height() > kLongestSide || image.width() > kLongestSide) {
    return InvalidField(field, absl::StrCat(image.height(), " x ", image.width(),
                                            " pixels, no side is longer than ", kLongestSide));
  }
  return RgbView{.height = static_cast<int>(image.height()),
                 .width = static_cast<int>(image.width()),
                 .pixels = BytesOf(image.data())};
}

absl::StatusOr<Input> ToInput(const v1::Input& input) {
  switch (input.kind_case()) {
    case v1::Input::kEncoded:
      return EncodedInput{.bytes = BytesOf(input.encoded())};
    case v1::Input::kRgb: {
      TOME_ASSIGN_OR_RETURN(const RgbView view, ToView("input.rgb", input.rgb()));
      return RgbInput{.view = view};
    }
    case v1::Input::kModelPixels: {
      TOME_ASSIGN_OR_RETURN(const RgbView view, ToView("input.model_pixels", input.model_pixels()));
      return ModelPixelsInput{.view = view};
    }
    case v1::Input::KIND_NOT_SET:
      break;
  }
  return InvalidField("input", "missing, give one of encoded, rgb and model_pixels");
}

// The range of google.protobuf.Duration, but for a negative one.
absl::StatusOr<absl::Duration> ToDuration(absl::string_view field,
                                          const google::protobuf::Duration& duration) {
  constexpr int64_t kMostSeconds = 315'576'000'000;
  constexpr int32_t kMostNanos = 999'999'999;
  if (duration.seconds() < 0 || duration.seconds() > kMostSeconds || duration.nanos() < 0 ||
      duration.nanos() > kMostNanos) {
    return InvalidField(field, absl::StrCat(duration.seconds(), " s and ", duration.nanos(),
                                            " ns are no duration from 0 to 10,000 years"));
  }
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

v1::ElementType ToProto(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return v1::ELEMENT_TYPE_FLOAT32;
    case ElementType::kFloat16:
      return v1::ELEMENT_TYPE_FLOAT16;
    case ElementType::kInt8:
      return v1::ELEMENT_TYPE_INT8;
  }
  return v1::ELEMENT_TYPE_UNSPECIFIED;
}

void FillTiming(const StageTimes& times, v1::Timing* out) {
  if (times.decode.has_value()) *out->mutable_decode() = ToProtoDuration(*times.decode);
  if (times.preprocess.has_value()) *out->mutable_preprocess() = ToProtoDuration(*times.preprocess);
  *out->mutable_queue() = ToProtoDuration(times.queue);
  *out->mutable_compute() = ToProtoDuration(times.compute);
  out->set_batch_images(times.batch_images);
}

struct FillMergeSpec {
  v1::MergeSpec* out;

  void operator()(const MergeSchedule::Constant& constant) const { out->set_constant(constant.r); }
  void operator()(const MergeSchedule::Linear& linear) const {
    out->mutable_linear()->set_mean_r(linear.mean_r);
    out->mutable_linear()->set_inflection(linear.inflection);
  }
  void operator()(const MergeSchedule::PerBlock& per_block) const {
    v1::MergeSpec::PerBlock* list = out->mutable_per_block();
    for (const int r : per_block.r) list->add_r(r);
  }
};

void FillProfile(const MergeProfile& profile, v1::MergeProfile* out) {
  out->set_images(profile.images);
  out->set_date(profile.date);
  for (const MergeProfile::Step& step : profile.steps) {
    v1::MergeProfile::Step* added = out->add_steps();
    added->set_r(step.r);
    added->set_fidelity(step.fidelity);
    added->set_fidelity_p5(step.fidelity_p5);
    added->set_recall_at_10(step.recall_at_10);
    added->set_flop_ratio(step.flop_ratio);
  }
}

absl::StatusOr<EmbedBatchCall::Item> ToItem(const v1::EmbedBatchRequest::Item& item) {
  EmbedBatchCall::Item converted;
  TOME_ASSIGN_OR_RETURN(converted.input, ToInput(item.input()));
  TOME_ASSIGN_OR_RETURN(converted.schedule, ToMergeSchedule(item.has_merge(), item.merge()));
  return converted;
}

void FillEmbedding(EmbedAnswer answer, v1::Embedding* embedding) {
  v1::Vector* vector = embedding->mutable_vector();
  vector->set_type(ToProto(answer.vector.type));
  vector->set_dimensions(answer.vector.dimensions);
  vector->set_data(std::move(answer.vector.data));
  vector->set_scale(answer.vector.scale);

  v1::Applied* applied = embedding->mutable_applied();
  applied->mutable_merged_per_block()->Add(answer.merged_per_block.begin(),
                                           answer.merged_per_block.end());
  applied->set_tokens_in(answer.tokens_in);
  applied->set_tokens_out(answer.tokens_out);
  applied->set_gflops(answer.gflops);
  applied->set_gflops_unmerged(answer.gflops_unmerged);
  if (answer.expected_fidelity.has_value()) {
    applied->set_expected_fidelity(*answer.expected_fidelity);
  }

  FillTiming(answer.times, embedding->mutable_timing());

  if (answer.merge_map.has_value()) {
    v1::MergeMap* map = embedding->mutable_merge_map();
    map->set_grid_height(answer.grid_height);
    map->set_grid_width(answer.grid_width);
    map->mutable_group_of_patch()->Add(answer.merge_map->group_of_patch.begin(),
                                       answer.merge_map->group_of_patch.end());
    map->mutable_size()->Add(answer.merge_map->size.begin(), answer.merge_map->size.end());
  }
  if (!answer.tokens.empty()) {
    v1::Tokens* tokens = embedding->mutable_tokens();
    tokens->set_count(answer.tokens_out);
    tokens->set_dimensions(answer.token_dim);
    tokens->set_data(answer.tokens.data(), answer.tokens.size() * sizeof(float));
  }
  if (!answer.model_pixels.empty()) {
    v1::RawImage* pixels = embedding->mutable_model_pixels();
    pixels->set_height(answer.model_height);
    pixels->set_width(answer.model_width);
    pixels->set_data(answer.model_pixels.data(), answer.model_pixels.size());
  }
}

}  // namespace

absl::StatusOr<std::optional<MergeSchedule>> ToMergeSchedule(bool present,
                                                             const v1::MergeSpec& spec) {
  if (!present) return std::nullopt;
  switch (spec.kind_case()) {
    case v1::MergeSpec::kConstant:
      TOME_RETURN_IF_ERROR(CheckR("merge.constant", spec.constant()));
      return MergeSchedule(MergeSchedule::Constant{.r = static_cast<int>(spec.constant())});
    case v1::MergeSpec::kLinear:
      return ToLinear(spec.linear());
    case v1::MergeSpec::kPerBlock:
      return ToPerBlock(spec.per_block());
    case v1::MergeSpec::kAuto:
      return absl::UnimplementedError(
          "merge.auto: this server does not choose r yet, give constant, linear or per_block");
    case v1::MergeSpec::KIND_NOT_SET:
      break;
  }
  return InvalidField("merge",
                      "empty, give one of constant, linear and per_block, or leave merge out for "
                      "the model's default");
}

absl::StatusOr<OutputSpec> ToOutputSpec(const v1::OutputSpec& spec) {
  OutputSpec output;
  switch (spec.element_type()) {
    case v1::ELEMENT_TYPE_UNSPECIFIED:
    case v1::ELEMENT_TYPE_FLOAT32:
      output.element_type = ElementType::kFloat32;
      break;
    case v1::ELEMENT_TYPE_FLOAT16:
      output.element_type = ElementType::kFloat16;
      break;
    case v1::ELEMENT_TYPE_INT8:
      output.element_type = ElementType::kInt8;
      break;
    default:
      return InvalidField("output.element_type",
                          absl::StrCat(spec.element_type(), " is no element type of this server"));
  }
  switch (spec.normalization()) {
    case v1::NORMALIZATION_UNSPECIFIED:
    case v1::NORMALIZATION_L2:
      output.normalization = Normalization::kL2;
      break;
    case v1::NORMALIZATION_NONE:
      output.normalization = Normalization::kNone;
      break;
    default:
      return InvalidField("output.normalization", absl::StrCat(spec.normalization(),
                                                               " is no normalization of this "
                                                               "server"));
  }
  switch (spec.pooling()) {
    case v1::POOLING_UNSPECIFIED:
      output.pooling = Pooling::kModelsOwn;
      break;
    case v1::POOLING_CLASS_TOKEN:
      output.pooling = Pooling::kClassToken;
      break;
    case v1::POOLING_MEAN:
      output.pooling = Pooling::kMean;
      break;
    default:
      return InvalidField("output.pooling",
                          absl::StrCat(spec.pooling(), " is no pooling of this server"));
  }
  if (spec.dimensions() > static_cast<uint32_t>(std::numeric_limits<int>::max())) {
    return InvalidField("output.dimensions",
                        absl::StrCat(spec.dimensions(), " is more than any model's dimensions"));
  }
  output.dimensions = static_cast<int>(spec.dimensions());
  output.merge_map = spec.merge_map();
  output.tokens = spec.tokens();
  output.model_pixels = spec.model_pixels();
  return output;
}

absl::StatusOr<EmbedCall> ToEmbedCall(const v1::EmbedRequest& request) {
  EmbedCall call;
  call.model = request.model();
  call.if_weights_digest = request.if_weights_digest();
  TOME_ASSIGN_OR_RETURN(call.input, ToInput(request.input()));
  TOME_ASSIGN_OR_RETURN(call.schedule, ToMergeSchedule(request.has_merge(), request.merge()));
  TOME_ASSIGN_OR_RETURN(call.output, ToOutputSpec(request.output()));
  return call;
}

absl::StatusOr<EmbedBatchCall> ToEmbedBatchCall(const v1::EmbedBatchRequest& request) {
  EmbedBatchCall call;
  call.model = request.model();
  call.if_weights_digest = request.if_weights_digest();
  TOME_ASSIGN_OR_RETURN(call.schedule, ToMergeSchedule(request.has_merge(), request.merge()));
  TOME_ASSIGN_OR_RETURN(call.output, ToOutputSpec(request.output()));
  call.items.reserve(request.items_size());
  for (const v1::EmbedBatchRequest::Item& item : request.items()) {
    call.items.push_back(ToItem(item));
  }
  return call;
}

absl::StatusOr<EmbedCall> ToEmbedCall(const v1::EmbedStreamRequest& message, absl::Time arrival) {
  absl::StatusOr<EmbedCall> call = ToEmbedCall(message.request());
  if (!call.ok()) return WithFieldParent(call.status(), "request");
  if (message.has_timeout()) {
    TOME_ASSIGN_OR_RETURN(const absl::Duration timeout, ToDuration("timeout", message.timeout()));
    call->deadline = arrival + timeout;
  }
  return call;
}

void FillResponse(EmbedAnswer answer, absl::string_view, v1::EmbedResponse* response) {
  response->mutable_model()->set_name(answer.model);
  response->mutable_model()->set_weights_digest(answer.weights_digest);
  FillEmbedding(std::move(answer), response->mutable_embedding());
}

void FillResponse(EmbedBatchAnswer answer, absl::string_view request_id,
                  v1::EmbedBatchResponse* response) {
  response->mutable_model()->set_name(answer.model);
  response->mutable_model()->set_weights_digest(answer.weights_digest);
  for (absl::StatusOr<EmbedAnswer>& result : answer.results) {
    if (result.ok()) {
      FillEmbedding(*std::move(result), response->add_results()->mutable_embedding());
    } else {
      *response->add_results()->mutable_error() = ToRichStatus(result.status(), request_id);
    }
  }
}

void FillResponse(EmbedAnswer answer, v1::EmbedStreamResponse* response) {
  response->mutable_model()->set_name(answer.model);
  response->mutable_model()->set_weights_digest(answer.weights_digest);
  FillEmbedding(std::move(answer), response->mutable_result()->mutable_embedding());
}

void FillModel(const ServedModel& model, v1::Model* out) {
  const ModelFacts& facts = *model.facts;
  out->set_name(model.name);
  out->set_weights_digest(facts.weights_digest);
  out->set_architecture(facts.architecture);
  out->set_family(facts.family);
  out->set_dtype(facts.dtype);
  out->set_device(facts.device);
  out->set_embedding_dimensions(facts.embedding_dim);
  out->set_token_dimensions(facts.block_shape.token_dim);
  out->set_input_height(facts.preprocessing.crop_height);
  out->set_input_width(facts.preprocessing.crop_width);
  out->set_patch_size(facts.patch_size);
  out->set_tokens(facts.tokens());
  out->set_prefix_tokens(facts.prefix_tokens);
  out->set_blocks(facts.blocks);
  out->set_maximum_r(MaxMerges(facts.tokens(), facts.prefix_tokens));
  out->set_proportional_attention(facts.proportional_attention);
  std::visit(FillMergeSpec{out->mutable_default_merge()}, model.default_schedule.kind());
  const std::vector<int> unmerged(facts.blocks, 0);
  out->set_gflops_unmerged(BlockFlops(facts.block_shape, facts.tokens(), unmerged) / 1e9);
  if (facts.profile.has_value()) FillProfile(*facts.profile, out->mutable_profile());
}

void FillLimits(const EmbeddingService::Options& options, int images_per_call,
                int64_t max_message_bytes, v1::Limits* out) {
  out->set_encoded_bytes(options.image_limits.max_bytes);
  out->set_pixels(options.image_limits.max_pixels);
  out->set_side_pixels(options.image_limits.max_side);
  out->set_images_per_call(images_per_call);
  out->set_message_bytes(max_message_bytes);
  *out->mutable_default_timeout() = ToProtoDuration(options.default_timeout);
  *out->mutable_maximum_timeout() = ToProtoDuration(options.maximum_timeout);
}

}  // namespace tome
