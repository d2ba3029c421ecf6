#include "server/lab/curve_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/lab/atomic_file.h"
#include "server/lab/curve_plot.h"
#include "tests/model/test_checkpoint.h"

namespace tome {
namespace {

using ::testing::HasSubstr;

StepReport Report(double loss) {
  return {.loss = loss, .supervised = 2.5, .gradient_norm = 0.5, .r = {0, 8}};
}

TEST(CurveFileTest, HasARowAStepAndNothingForWhatWasLeftOut) {
  TemporaryDirectory directory;
  const std::string path = directory.path() + "/curves.csv";
  CurveFile curves(path);

  curves.Add(0, 0.001, 0.25, Report(3.0));

  ASSERT_TRUE(curves.Write().ok());
  EXPECT_EQ(*ReadWholeFile(path),
            "step,loss,supervised,contrastive,distillation,gradient_norm,learning_rate,r,seconds\n"
            "0,3,2.5,,,0.5,0.001,0+8,0.2500\n");
}

TEST(CurveFileTest, DrawsTheCurvesBesideTheRows) {
  TemporaryDirectory directory;
  CurveFile curves(directory.path() + "/curves.csv");
  for (int step = 0; step < 3; ++step) curves.Add(step, 0.001, 0.25, Report(3.0 - step));

  ASSERT_TRUE(curves.Write().ok());

  // What was not among the objectives is not drawn.
  const std::vector<Curve> losses = {{"loss", {3.0, 2.0, 1.0}}, {"supervised", {2.5, 2.5, 2.5}}};
  EXPECT_EQ(*ReadWholeFile(directory.path() + "/curves.png"),
            *PlotCurves(losses, {"learning_rate", {0.001, 0.001, 0.001}}));
}

TEST(CurveFileTest, DropsTheRowsBehindTheStepThatARunGoesOnFrom) {
  TemporaryDirectory directory;
  const std::string path = directory.path() + "/curves.csv";
  CurveFile killed(path);
  for (int step = 0; step < 4; ++step) killed.Add(step, 0.001, 0.25, Report(step));
  ASSERT_TRUE(killed.Write().ok());

  CurveFile resumed(path);
  ASSERT_TRUE(resumed.Restore(2).ok());
  resumed.Add(2, 0.001, 0.25, Report(7.0));
  ASSERT_TRUE(resumed.Write().ok());

  EXPECT_THAT(*ReadWholeFile(path), HasSubstr("\n1,1,2.5,,,0.5,0.001,0+8,0.2500\n2,7,2.5"));
  EXPECT_THAT(CurveFile(path).Restore(9).message(), HasSubstr("has no row for each of the 9"));
}

TEST(CurveFileTest, RefusesLinesThatAreNotItsOwn) {
  TemporaryDirectory directory;
  const std::string path = directory.path() + "/curves.csv";
  CurveFile curves(path);
  for (int step = 0; step < 3; ++step) curves.Add(step, 0.001, 0.25, Report(step));
  ASSERT_TRUE(curves.Write().ok());
  const std::string whole = *ReadWholeFile(path);
  const auto refusal = [&](const std::string& text) {
    directory.Write("curves.csv", text);
    return std::string(CurveFile(path).Restore(2).message());
  };

  EXPECT_THAT(refusal("step\n0\n1\n"), HasSubstr("curves.csv: line 1 is not one of"));
  std::string cut = whole;
  cut.replace(cut.find("\n1,1,"), 6, "\n1\n,");
  EXPECT_THAT(refusal(cut),
              HasSubstr("curves.csv: line 3 is not one of a training's curves: \"1\""));
  std::string infinite = whole;
  infinite.replace(infinite.find("\n1,1,"), 6, "\n1,inf,");
  EXPECT_THAT(refusal(infinite), HasSubstr("curves.csv: line 3 is not one of"));
  EXPECT_EQ(refusal(whole), "");
}

}  // namespace
}  // namespace tome
