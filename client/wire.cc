#include "client/wire.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/decode_vector.h"
#include "client/status.h"

namespace tome::client {
namespace {

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

absl::Duration FromWire(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

template <typename Pixels>
void SetPixels(Pixels&& from, tome::v1::RawImage* to) {
  to->set_height(from.height);
  to->set_width(from.width);
  to->set_data(std::move(from.pixels));
}

void SetSchedule(const Schedule& schedule, tome::v1::MergeSpec* to) {
  std::visit(Overloaded{[&](const ConstantSchedule& constant) { to->set_constant(constant.r); },
                        [&](const LinearSchedule& linear) {
                          to->mutable_linear()->set_mean_r(linear.mean_r);
                          to->mutable_linear()->set_inflection(linear.inflection);
                        },
                        [&](const PerBlockSchedule& per_block) {
                          to->mutable_per_block()->mutable_r()->Assign(per_block.r.begin(),
                                                                       per_block.r.end());
                        }},
             schedule);
}

std::optional<Schedule> FromWire(const tome::v1::MergeSpec& spec) {
  switch (spec.kind_case()) {
    case tome::v1::MergeSpec::kConstant:
      return ConstantSchedule{spec.constant()};
    case tome::v1::MergeSpec::kLinear:
      return LinearSchedule{spec.linear().mean_r(), spec.linear().inflection()};
    case tome::v1::MergeSpec::kPerBlock:
      return PerBlockSchedule{{spec.per_block().r().begin(), spec.per_block().r().end()}};
    default:
      return std::nullopt;
  }
}

tome::v1::ElementType ToWire(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return tome::v1::ELEMENT_TYPE_FLOAT32;
    case ElementType::kFloat16:
      return tome::v1::ELEMENT_TYPE_FLOAT16;
    case ElementType::kInt8:
      return tome::v1::ELEMENT_TYPE_INT8;
  }
  return tome::v1::ELEMENT_TYPE_UNSPECIFIED;
}

tome::v1::Pooling ToWire(Pooling pooling) {
  switch (pooling) {
    case Pooling::kClassToken:
      return tome::v1::POOLING_CLASS_TOKEN;
    case Pooling::kMean:
      return tome::v1::POOLING_MEAN;
    case Pooling::kModel:
      break;
  }
  return tome::v1::POOLING_UNSPECIFIED;
}

void SetImage(ImageInput image, tome::v1::Input* to) {
  std::visit(Overloaded{[&](EncodedImage& file) { to->set_encoded(std::move(file.bytes)); },
                        [&](RgbImage& rgb) { SetPixels(std::move(rgb), to->mutable_rgb()); },
                        [&](ModelPixels& pixels) {
                          SetPixels(std::move(pixels), to->mutable_model_pixels());
                        }},
             image);
}

void SetOutput(const OutputSpec& from, tome::v1::OutputSpec* to) {
  to->set_element_type(ToWire(from.element_type));
  to->set_normalization(from.normalize ? tome::v1::NORMALIZATION_L2 : tome::v1::NORMALIZATION_NONE);
  to->set_dimensions(from.dimensions);
  to->set_pooling(ToWire(from.pooling));
  to->set_merge_map(from.merge_map);
  to->set_tokens(from.tokens);
  to->set_model_pixels(from.model_pixels);
}

std::optional<std::vector<float>> Decode(const tome::v1::Vector& vector) {
  switch (vector.type()) {
    case tome::v1::ELEMENT_TYPE_FLOAT32:
      return DecodeVector(ElementType::kFloat32, vector.data(), vector.dimensions(), 1.0f);
    case tome::v1::ELEMENT_TYPE_FLOAT16:
      return DecodeVector(ElementType::kFloat16, vector.data(), vector.dimensions(), 1.0f);
    case tome::v1::ELEMENT_TYPE_INT8:
      return DecodeVector(ElementType::kInt8, vector.data(), vector.dimensions(), vector.scale());
    default:
      return std::nullopt;
  }
}

Timing FromWire(const tome::v1::Timing& timing) {
  Timing result;
  if (timing.has_decode()) result.decode = FromWire(timing.decode());
  if (timing.has_preprocess()) result.preprocess = FromWire(timing.preprocess());
  if (timing.has_queue()) result.queue = FromWire(timing.queue());
  if (timing.has_compute()) result.compute = FromWire(timing.compute());
  result.batch_images = static_cast<int>(timing.batch_images());
  return result;
}

MergeMap FromWire(const tome::v1::MergeMap& map) {
  MergeMap result;
  result.grid_height = static_cast<int>(map.grid_height());
  result.grid_width = static_cast<int>(map.grid_width());
  result.group_of_patch.assign(map.group_of_patch().begin(), map.group_of_patch().end());
  result.size.assign(map.size().begin(), map.size().end());
  return result;
}

MergeProfile FromWire(const tome::v1::MergeProfile& profile) {
  MergeProfile result;
  result.images = static_cast<int>(profile.images());
  result.date = profile.date();
  for (const tome::v1::MergeProfile::Step& step : profile.steps()) {
    result.steps.push_back(
        {step.r(), step.fidelity(), step.fidelity_p5(), step.recall_at_10(), step.flop_ratio()});
  }
  return result;
}

// The field that a BadRequest among the details names; empty if there is none.
std::string FieldIn(const google::rpc::Status& details) {
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&bad_request) && bad_request.field_violations_size() > 0) {
      return bad_request.field_violations(0).field();
    }
  }
  return "";
}

std::string WithRetries(absl::string_view message, int retries) {
  return retries > 0 ? absl::StrCat(message, " (after ", retries, " retries)")
                     : std::string(message);
}

}  // namespace

tome::v1::EmbedRequest ToWire(ImageInput image, const EmbedOptions& options) {
  tome::v1::EmbedRequest request;
  request.set_model(options.model);
  request.set_if_weights_digest(options.if_weights_digest);
  SetImage(std::move(image), request.mutable_input());
  if (options.schedule.has_value()) SetSchedule(*options.schedule, request.mutable_merge());
  SetOutput(options.output, request.mutable_output());
  return request;
}

tome::v1::EmbedBatchRequest ToWire(std::vector<BatchItem> items, const EmbedOptions& options) {
  tome::v1::EmbedBatchRequest request;
  request.set_model(options.model);
  request.set_if_weights_digest(options.if_weights_digest);
  if (options.schedule.has_value()) SetSchedule(*options.schedule, request.mutable_merge());
  SetOutput(options.output, request.mutable_output());
  for (BatchItem& item : items) {
    tome::v1::EmbedBatchRequest::Item& added = *request.add_items();
    SetImage(std::move(item.image), added.mutable_input());
    if (item.schedule.has_value()) SetSchedule(*item.schedule, added.mutable_merge());
  }
  return request;
}

google::protobuf::Duration ToWire(absl::Duration duration) {
  google::protobuf::Duration result;
  result.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  result.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return result;
}

absl::StatusOr<Embedding> FromWire(const tome::v1::Embedding& from, const tome::v1::ModelRef& model,
                                   const std::string& request_id, int retries) {
  const auto contradiction = [&](const std::string& message) {
    return MakeStatus(absl::StatusCode::kInternal, message, "", request_id);
  };
  std::optional<std::vector<float>> vector = Decode(from.vector());
  if (!vector.has_value()) {
    return contradiction(absl::StrCat(
        "the server's vector does not fit its description: ", from.vector().data().size(),
        " bytes for ", from.vector().dimensions(), " elements of ",
        tome::v1::ElementType_Name(from.vector().type())));
  }
  Embedding embedding;
  embedding.model = model.name();
  embedding.weights_digest = model.weights_digest();
  embedding.request_id = request_id;
  embedding.retries = retries;
  embedding.vector = *std::move(vector);
  const tome::v1::Applied& applied = from.applied();
  embedding.merged_per_block.assign(applied.merged_per_block().begin(),
                                    applied.merged_per_block().end());
  embedding.tokens_in = static_cast<int>(applied.tokens_in());
  embedding.tokens_out = static_cast<int>(applied.tokens_out());
  embedding.gflops = applied.gflops();
  embedding.gflops_unmerged = applied.gflops_unmerged();
  if (applied.has_expected_fidelity()) embedding.expected_fidelity = applied.expected_fidelity();
  embedding.timing = FromWire(from.timing());
  if (from.has_merge_map()) embedding.merge_map = FromWire(from.merge_map());
  if (from.has_tokens()) {
    const size_t count = size_t{from.tokens().count()} * from.tokens().dimensions();
    std::optional<std::vector<float>> values =
        DecodeVector(ElementType::kFloat32, from.tokens().data(), count, 1.0f);
    if (!values.has_value()) {
      return contradiction(absl::StrCat(
          "the server's tokens do not fit their description: ", from.tokens().data().size(),
          " bytes for ", from.tokens().count(), " x ", from.tokens().dimensions(), " floats"));
    }
    embedding.tokens = Tokens{static_cast<int>(from.tokens().count()),
                              static_cast<int>(from.tokens().dimensions()), *std::move(values)};
  }
  if (from.has_model_pixels()) {
    const tome::v1::RawImage& pixels = from.model_pixels();
    if (pixels.data().size() != uint64_t{3} * pixels.height() * pixels.width()) {
      return contradiction(absl::StrCat(
          "the server's model pixels do not fit their description: ", pixels.data().size(),
          " bytes for ", pixels.height(), " x ", pixels.width(), " pixels"));
    }
    embedding.model_pixels = ModelPixels{pixels.height(), pixels.width(), pixels.data()};
  }
  return embedding;
}

Model FromWire(const tome::v1::Model& model) {
  Model result;
  result.name = model.name();
  result.weights_digest = model.weights_digest();
  result.architecture = model.architecture();
  result.family = model.family();
  result.dtype = model.dtype();
  result.device = model.device();
  result.embedding_dimensions = static_cast<int>(model.embedding_dimensions());
  result.token_dimensions = static_cast<int>(model.token_dimensions());
  result.input_height = static_cast<int>(model.input_height());
  result.input_width = static_cast<int>(model.input_width());
  result.patch_size = static_cast<int>(model.patch_size());
  result.tokens = static_cast<int>(model.tokens());
  result.prefix_tokens = static_cast<int>(model.prefix_tokens());
  result.blocks = static_cast<int>(model.blocks());
  result.maximum_r = static_cast<int>(model.maximum_r());
  result.proportional_attention = model.proportional_attention();
  result.default_schedule = FromWire(model.default_merge());
  result.gflops_unmerged = model.gflops_unmerged();
  if (model.has_profile()) result.profile = FromWire(model.profile());
  return result;
}

Limits FromWire(const tome::v1::Limits& limits) {
  Limits result;
  result.encoded_bytes = limits.encoded_bytes();
  result.pixels = limits.pixels();
  result.side_pixels = limits.side_pixels();
  result.images_per_call = limits.images_per_call();
  result.message_bytes = limits.message_bytes();
  result.default_timeout = FromWire(limits.default_timeout());
  result.maximum_timeout = FromWire(limits.maximum_timeout());
  return result;
}

absl::StatusOr<Embedding> FromWire(const tome::v1::Result& result, const tome::v1::ModelRef& model,
                                   const std::string& request_id, int retries) {
  if (!result.has_error()) return FromWire(result.embedding(), model, request_id, retries);
  return MakeStatus(static_cast<absl::StatusCode>(result.error().code()),
                    WithRetries(result.error().message(), retries), FieldIn(result.error()),
                    request_id);
}

absl::Status CallError(const grpc::Status& status, absl::Duration timeout,
                       absl::string_view request_id, int retries) {
  // gRPC's own words for a deadline do not say what was tried.
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      status.error_message() == "Deadline Exceeded") {
    return NoAnswerError(timeout, request_id, retries);
  }
  google::rpc::Status details;
  const bool parsed = details.ParseFromString(status.error_details());
  return MakeStatus(static_cast<absl::StatusCode>(status.error_code()),
                    WithRetries(status.error_message(), retries), parsed ? FieldIn(details) : "",
                    request_id);
}

absl::Status NoAnswerError(absl::Duration timeout, absl::string_view request_id, int retries) {
  return MakeStatus(
      absl::StatusCode::kDeadlineExceeded,
      WithRetries(absl::StrCat("no answer within ", absl::FormatDuration(timeout)), retries), "",
      request_id);
}

}  // namespace tome::client
