#include "server/lab/curve_file.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "server/base/status.h"
#include "server/lab/atomic_file.h"
#include "server/lab/curve_plot.h"

namespace tome {
namespace {

constexpr char kHeader[] =
    "step,loss,supervised,contrastive,distillation,gradient_norm,learning_rate,r,seconds\n";

std::string Text(const std::optional<double>& value) {
  return value.has_value() ? absl::StrFormat("%.6g", *value) : "";
}

// Whether a row has every column, and the numbers that each row has.
bool IsRow(absl::string_view row) {
  constexpr size_t kLoss = 1;
  constexpr size_t kLearningRate = 6;
  const std::vector<absl::string_view> fields = absl::StrSplit(row, ',');
  double number = 0.0;
  return static_cast<std::ptrdiff_t>(fields.size()) == 1 + std::ranges::count(kHeader, ',') &&
         absl::SimpleAtod(fields[kLoss], &number) && std::isfinite(number) &&
         absl::SimpleAtod(fields[kLearningRate], &number) && std::isfinite(number);
}

// The values of a column, whose name the header has; none where the first row has none.
Curve ColumnOf(absl::string_view rows, const std::string& name) {
  const std::vector<std::string> names = absl::StrSplit(absl::StripSuffix(kHeader, "\n"), ',');
  const auto column = std::ranges::find(names, name) - names.begin();
  Curve curve{.name = name, .values = {}};
  for (const absl::string_view row : absl::StrSplit(rows, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(row, ',');
    double value = 0.0;
    if (!absl::SimpleAtod(fields[column], &value)) break;
    curve.values.push_back(value);
  }
  return curve;
}

}  // namespace

absl::Status CurveFile::Restore(int64_t steps) {
  TOME_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path_));
  size_t end = 0;
  for (int64_t line = 0; line <= steps; ++line) {
    const size_t next = text.find('\n', end);
    if (next == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, " has no row for each of the ", steps, " steps that were done"));
    }
    const absl::string_view row(text.data() + end, next - end);
    if (line == 0 ? absl::StrCat(row, "\n") != kHeader : !IsRow(row)) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": line ", line + 1,
                                                     " is not one of a ", "training's curves: \"",
                                                     absl::CEscape(row.substr(0, 100)), "\""));
    }
    end = next + 1;
  }
  rows_ = text.substr(sizeof(kHeader) - 1, end - (sizeof(kHeader) - 1));
  return absl::OkStatus();
}

void CurveFile::Add(int64_t step, double learning_rate, double seconds, const StepReport& report) {
  absl::StrAppendFormat(&rows_, "%d,%.6g,%s,%s,%s,%.6g,%.6g,%s,%.4f\n", step, report.loss,
                        Text(report.supervised), Text(report.contrastive),
                        Text(report.distillation), report.gradient_norm, learning_rate,
                        absl::StrJoin(report.r, "+"), seconds);
}

absl::Status CurveFile::Write() const {
  TOME_RETURN_IF_ERROR(WriteFileAtOnce(path_, kHeader + rows_));
  if (rows_.empty()) return absl::OkStatus();
  std::vector<Curve> losses;
  for (const char* name : {"loss", "supervised", "contrastive", "distillation"}) {
    Curve curve = ColumnOf(rows_, name);
    if (!curve.values.empty()) losses.push_back(std::move(curve));
  }
  TOME_ASSIGN_OR_RETURN(const std::string png,
                        PlotCurves(losses, ColumnOf(rows_, "learning_rate")));
  return WriteFileAtOnce(std::filesystem::path(path_).replace_extension(".png"), png);
}

}  // namespace tome
