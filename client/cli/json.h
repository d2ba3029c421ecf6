#ifndef TOME_CLIENT_CLI_JSON_H_
#define TOME_CLIENT_CLI_JSON_H_

#include <string>

#include "absl/status/status.h"
#include <nlohmann/json.hpp>

namespace tome::client {

// Keys in the order in which they are set.
using Json = nlohmann::ordered_json;

// One line without its newline. A file name that is not UTF-8 keeps its valid part.
std::string OneLine(const Json& json);

// {"code": "INVALID_ARGUMENT", "message": ..., "field": ..., "request_id": ...}; the last two only
// where there are such.
Json ToJson(const absl::Status& status);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_JSON_H_
