#include "client/cli/failures.h"

#include <iostream>

#include "client/cli/connection.h"

namespace tome::client {

void PrintFailures(const std::vector<FailedFile>& failed) {
  if (failed.empty()) return;
  std::cerr << failed.size() << " failed:\n";
  for (const FailedFile& file : failed) {
    std::cerr << "  " << file.path << ": " << Describe(file.status) << "\n";
  }
}

Json ToJson(const std::vector<FailedFile>& failed) {
  Json json = Json::array();
  for (const FailedFile& file : failed) {
    json.push_back({{"path", file.path}, {"error", ToJson(file.status)}});
  }
  return json;
}

}  // namespace tome::client
