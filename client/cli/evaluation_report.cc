#include "client/cli/evaluation_report.h"

#include <algorithm>
#include <functional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "client/cli/table.h"

namespace tome::client {
namespace {

// A column of the table, the CSV and the page.
struct Column {
  std::string title;  // for people
  std::string name;   // for programs
  std::function<std::string(const Rung&)> text;
};

std::vector<Column> ColumnsOf(const Ladder& ladder) {
  const auto number = [](const char* title, const char* name, int digits, auto value) {
    return Column{title, name, [digits, value](const Rung& rung) {
                    return absl::StrFormat("%.*f", digits, value(rung));
                  }};
  };
  std::vector<Column> columns = {
      {"schedule", "schedule", [](const Rung& rung) { return RungName(rung.schedule); }},
      {"tokens", "tokens_out", [](const Rung& rung) { return absl::StrCat(rung.tokens_out); }},
      number("FLOP ratio", "flop_ratio", 2, [](const Rung& rung) { return rung.flop_ratio; }),
      number("images/s", "images_per_second", 1,
             [](const Rung& rung) { return rung.images_per_second; }),
      number("latency ms", "latency_ms", 1,
             [](const Rung& rung) { return absl::ToDoubleMilliseconds(rung.latency); }),
      number("cosine", "cosine_mean", 4, [](const Rung& rung) { return rung.fidelity.mean; }),
      number("5th pct", "cosine_p5", 4, [](const Rung& rung) { return rung.fidelity.p5; }),
      number("centred", "cosine_centred", 4,
             [](const Rung& rung) { return rung.fidelity.centred_mean; }),
      number("its 5th pct", "cosine_centred_p5", 4,
             [](const Rung& rung) { return rung.fidelity.centred_p5; }),
      number("recall@1", "recall_at_1", 3, [](const Rung& rung) { return rung.recall_at_1; }),
      number("recall@10", "recall_at_10", 3, [](const Rung& rung) { return rung.recall_at_10; })};
  if (ladder.rungs.front().label_accuracy.has_value()) {
    columns.push_back(number("kNN accuracy", "label_accuracy", 3,
                             [](const Rung& rung) { return rung.label_accuracy.value_or(0.0); }));
  }
  return columns;
}

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string HtmlTable(const Ladder& ladder) {
  const std::vector<Column> columns = ColumnsOf(ladder);
  std::string html = "<table>\n<tr>";
  for (const Column& column : columns) absl::StrAppend(&html, "<th>", Escaped(column.title));
  for (const Rung& rung : ladder.rungs) {
    absl::StrAppend(&html, "\n<tr>");
    for (const Column& column : columns) {
      absl::StrAppend(&html, "<td>", Escaped(column.text(rung)));
    }
  }
  return html + "\n</table>\n";
}

struct Point {
  double x = 0.0;
  double y = 0.0;
  std::string name;
};

// Points joined in their order, each with its name, in a frame that their values span.
std::string Plot(const std::string& x_title, const std::string& y_title,
                 const std::vector<Point>& points) {
  constexpr double kWidth = 460.0;
  constexpr double kHeight = 300.0;
  constexpr double kMargin = 56.0;
  const auto across = std::ranges::minmax_element(points, {}, &Point::x);
  const auto up = std::ranges::minmax_element(points, {}, &Point::y);
  // One value alone lies in the middle.
  const auto place = [](double value, double from, double to) {
    return to > from ? (value - from) / (to - from) : 0.5;
  };
  const auto x = [&](const Point& point) {
    return kMargin + place(point.x, across.min->x, across.max->x) * (kWidth - 2 * kMargin);
  };
  const auto y = [&](const Point& point) {
    return kHeight - kMargin - place(point.y, up.min->y, up.max->y) * (kHeight - 2 * kMargin);
  };
  std::string svg = absl::StrFormat(
      "<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">"
      "<rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" class=\"frame\"/>",
      kWidth, kHeight, kWidth, kHeight, kMargin / 2, kMargin / 2, kWidth - kMargin,
      kHeight - kMargin);
  absl::StrAppend(&svg, "<polyline class=\"line\" points=\"",
                  absl::StrJoin(points, " ",
                                [&](std::string* out, const Point& point) {
                                  absl::StrAppendFormat(out, "%.1f,%.1f", x(point), y(point));
                                }),
                  "\"/>");
  for (const Point& point : points) {
    absl::StrAppendFormat(&svg,
                          "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s: %.4g, %.4g</title>"
                          "</circle><text x=\"%.1f\" y=\"%.1f\">%s</text>",
                          x(point), y(point), Escaped(point.name), point.x, point.y, x(point) + 6,
                          y(point) - 6, Escaped(point.name));
  }
  absl::StrAppendFormat(
      &svg,
      "<text x=\"%.0f\" y=\"%.0f\">%s, %.4g to %.4g</text><text x=\"%.0f\" y=\"16\">%s, %.4g to "
      "%.4g</text></svg>\n",
      kMargin / 2, kHeight - 8, Escaped(x_title), across.min->x, across.max->x, kMargin / 2,
      Escaped(y_title), up.min->y, up.max->y);
  return svg;
}

std::string Plots(const Ladder& ladder) {
  std::vector<Point> fidelity;
  std::vector<Point> worth;
  for (const Rung& rung : ladder.rungs) {
    const std::string name = RungName(rung.schedule);
    if (const auto* constant = std::get_if<ConstantSchedule>(&rung.schedule)) {
      fidelity.push_back({static_cast<double>(constant->r), rung.fidelity.mean, name});
    }
    worth.push_back(
        {rung.images_per_second, rung.label_accuracy.value_or(rung.recall_at_10), name});
  }
  const auto ascending = [](std::vector<Point>& points) {
    std::ranges::stable_sort(points, {}, &Point::x);
  };
  ascending(fidelity);
  ascending(worth);
  const bool labelled = ladder.rungs.front().label_accuracy.has_value();
  return absl::StrCat("<p>", Plot("r", "mean cosine to r = 0", fidelity),
                      Plot("images/s", labelled ? "kNN accuracy" : "neighbour recall@10", worth),
                      "</p>\n");
}

std::string Maps(const Ladder& ladder, const std::vector<PictureMaps>& maps) {
  std::string html;
  for (const PictureMaps& picture : maps) {
    absl::StrAppend(&html, "<h2>", Escaped(picture.file), "</h2>\n<p>");
    for (size_t i = 0; i < picture.png_of_rung.size(); ++i) {
      absl::StrAppend(&html, "<figure><img src=\"data:image/png;base64,",
                      absl::Base64Escape(picture.png_of_rung[i]), "\"><figcaption>",
                      Escaped(RungName(ladder.rungs[i].schedule)), ", ", ladder.rungs[i].tokens_out,
                      " tokens</figcaption></figure>\n");
    }
    absl::StrAppend(&html, "</p>\n");
  }
  return html;
}

constexpr char kStyle[] =
    "body{font:14px sans-serif;margin:2em auto;max-width:70em}"
    "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}table{border-collapse:collapse}"
    "figure{display:inline-block;margin:.4em}img{width:220px}"
    ".frame{fill:none;stroke:#bbb}.line{fill:none;stroke:#888}circle{fill:#06c}"
    "svg text{font:11px sans-serif}";

}  // namespace

std::string EvaluationTable(const Ladder& ladder) {
  const std::vector<Column> columns = ColumnsOf(ladder);
  std::vector<Table::Column> heads;
  for (const Column& column : columns) {
    heads.push_back({column.title, heads.empty() ? Table::Align::kLeft : Table::Align::kRight});
  }
  Table table(heads);
  for (const Rung& rung : ladder.rungs) {
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(column.text(rung));
    table.AddRow(std::move(cells));
  }
  return table.ToString();
}

std::string EvaluationCsv(const Ladder& ladder) {
  const std::vector<Column> columns = ColumnsOf(ladder);
  const auto line = [&](auto text) {
    return absl::StrJoin(columns, ",", [&](std::string* out, const Column& column) {
      // "per-block 4,0" has commas.
      const std::string cell = text(column);
      absl::StrAppend(out, cell.find(',') == std::string::npos ? cell : "\"" + cell + "\"");
    });
  };
  std::string csv = line([](const Column& column) { return column.name; }) + "\n";
  for (const Rung& rung : ladder.rungs) {
    absl::StrAppend(&csv, line([&](const Column& column) { return column.text(rung); }), "\n");
  }
  return csv;
}

std::string EvaluationHtml(const Ladder& ladder, const std::vector<PictureMaps>& maps) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>What r costs</title><style>",
      kStyle, "</style></head><body>\n<h1>What r costs ", Escaped(ladder.model.name), "</h1>\n<p>",
      Escaped(ladder.model.architecture), ", ", Escaped(ladder.model.dtype), " on ",
      Escaped(ladder.model.device), ", weights ", Escaped(ladder.model.weights_digest), "; ",
      ladder.files.size(), " pictures.</p>\n", HtmlTable(ladder), Plots(ladder), Maps(ladder, maps),
      "</body></html>\n");
}

}  // namespace tome::client
