#ifndef TOME_TESTS_MODEL_ORACLE_H_
#define TOME_TESTS_MODEL_ORACLE_H_

#include <optional>
#include <string>
#include <vector>

#include "server/merge/merge_schedule.h"
#include "server/model/safetensors.h"
#include "server/model/token_match.h"

namespace tome {

// A schedule of tests/model/testdata by its file's name.
struct OracleSchedule {
  std::string name;
  MergeSchedule schedule;
};
std::vector<OracleSchedule> OracleSchedules();

// The reference results of one schedule. Aborts the test program if the file is not there.
class OracleResults {
 public:
  OracleResults(const std::string& model, const std::string& schedule);

  std::vector<float> Embedding(int image) const;
  std::vector<int> TokenCounts() const;
  // Empty at r = 0.
  std::vector<float> Size(int image) const;
  std::vector<int> GroupOfToken(int image) const;
  // Empty where the block merges nothing.
  TokenMatch Match(int block, int image) const;

 private:
  template <typename T>
  std::vector<T> Row(const std::string& name, int image) const;

  SafetensorsFile file_;
};

// A folder of tests/model/testdata.
std::string OracleDirectory(const std::string& model);
SafetensorsFile OpenOracleFile(const std::string& name);

}  // namespace tome

#endif  // TOME_TESTS_MODEL_ORACLE_H_
