#include "client/cli/json.h"

#include <optional>

#include "client/status.h"

namespace tome::client {

std::string OneLine(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

Json ToJson(const absl::Status& status) {
  Json json = {{"code", CodeName(status.code())}, {"message", std::string(status.message())}};
  if (const std::optional<std::string> field = FieldOf(status); field.has_value()) {
    json["field"] = *field;
  }
  if (const std::string id = RequestIdOf(status); !id.empty()) json["request_id"] = id;
  return json;
}

}  // namespace tome::client
