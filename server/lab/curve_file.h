#ifndef TOME_SERVER_LAB_CURVE_FILE_H_
#define TOME_SERVER_LAB_CURVE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "server/lab/training.h"

namespace tome {

// A training's curves: a CSV file with a row a step and, beside it, FILE.png, their plot.
class CurveFile {
 public:
  // FILE.csv.
  explicit CurveFile(std::string path) : path_(std::move(path)) {}

  // Takes up the rows of the file's first `steps` steps: a killed run may have written more.
  // INVALID_ARGUMENT where it has fewer, or where one of them is none of Add's.
  absl::Status Restore(int64_t steps);

  void Add(int64_t step, double learning_rate, double seconds, const StepReport& report);

  // All steps so far, each of the two files at once.
  absl::Status Write() const;

 private:
  std::string path_;
  std::string rows_;
};

}  // namespace tome

#endif  // TOME_SERVER_LAB_CURVE_FILE_H_
