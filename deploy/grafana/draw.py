#!/usr/bin/env python3
"""Draws the dashboard with matplotlib, by the queries that Grafana would ask: the picture in deploy/README.md.

    deploy/grafana/draw.py http://127.0.0.1:9090 [--seconds 120] dashboard.png

Needs matplotlib and a Prometheus that has scraped a job `tome` each second for as long.
"""

import argparse
import json
import pathlib
import re
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

DASHBOARD = json.loads((pathlib.Path(__file__).parent / "tome.json").read_text())
VALUES = {"job": "tome", "instance": ".*", "model": ".*", "__rate_interval": "15s"}
UNITS = {"percentunit": ("%", 100), "s": ("ms", 1000), "bytes": ("MiB", 1 / 2**20)}
COLUMN, ROW = 0.72, 0.42  # inches a grid cell


def ask(prometheus, promql, seconds):
    """[(labels, times, values)] of a range query that ends now."""
    end = time.time()
    asked = {"query": promql, "start": end - seconds, "end": end, "step": 1}
    with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}") as answer:
        result = json.load(answer)["data"]["result"]
    return [
        (series["metric"], [t - end for t, _ in series["values"]], [float(v) for _, v in series["values"]])
        for series in result
    ]


def legend(form, labels):
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match.group(1), ""), form)


def draw_series(axes, panel, found, scale):
    lines = [
        (legend(target["legendFormat"], labels), times, [v * scale for v in values])
        for target, all_series in found
        for labels, times, values in all_series
        if any(v == v and v != 0 for v in values)
    ]
    if panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal" and lines:
        times = sorted(set().union(*(times for _, times, _ in lines)))
        rows = [[dict(zip(own, values)).get(t, 0) for t in times] for _, own, values in lines]
        axes.stackplot(times, rows, labels=[name for name, _, _ in lines], alpha=0.7)
    else:
        for name, times, values in lines:
            axes.plot(times, values, label=name, linewidth=1)
    if "min" in panel["fieldConfig"]["defaults"]:
        axes.set_ylim(bottom=panel["fieldConfig"]["defaults"]["min"])
    if lines and len(lines) < 8:
        axes.legend(fontsize=5, loc="upper left", framealpha=0.6)


def draw_heatmap(axes, found):
    # Buckets count all that is smaller: a cell is the difference to the one below.
    (_, series), *_ = found
    buckets = sorted(((float(labels["le"]), times, values) for labels, times, values in series))
    cells, below = [], [0.0] * len(buckets[0][1])
    for _, _, values in buckets:
        cells.append([max(v - b, 0) for v, b in zip(values, below)])
        below = values
    axes.imshow(cells, aspect="auto", origin="lower", cmap="Blues", extent=(buckets[0][1][0], 0, 0, len(cells)))
    axes.set_yticks([i + 0.5 for i in range(len(buckets))], [f"{edge:g}" for edge, _, _ in buckets], fontsize=4)


def draw_stat(axes, found, unit, scale):
    axes.axis("off")
    texts = [
        f"{values[-1] * scale:.3g}{unit} {legend(target['legendFormat'], labels)}"
        for target, series in found
        for labels, _, values in series
    ]
    axes.text(0.5, 0.5, "\n".join(texts), ha="center", va="center", fontsize=10 if len(texts) > 1 else 18)


def draw_table(axes, found):
    axes.axis("off")
    hidden = {"__name__", "job"}
    rows = [
        ", ".join(f"{k}={v[:24]}" for k, v in labels.items() if k not in hidden)
        for _, series in found
        for labels, _, _ in series
    ]
    axes.text(0, 0.9, "\n".join(rows), va="top", fontsize=7, family="monospace")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prometheus")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("out")
    arguments = parser.parse_args()

    panels = DASHBOARD["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(24 * COLUMN, height * ROW))
    for panel in panels:
        place = panel["gridPos"]
        top = 1 - place["y"] / height
        if panel["type"] == "row":
            figure.text(0.01, top - 0.6 / height, panel["title"], fontsize=11, weight="bold", va="center")
            continue
        axes = figure.add_axes(
            ((place["x"] + 1) / 24, top - (place["h"] - 0.9) / height, (place["w"] - 1.3) / 24, (place["h"] - 2.2) / height)
        )
        unit, scale = UNITS.get(panel["fieldConfig"]["defaults"].get("unit", ""), ("", 1))
        axes.set_title(panel["title"] + (f" [{unit}]" if unit else ""), fontsize=8)
        axes.tick_params(labelsize=5)
        found = [
            (target, ask(arguments.prometheus, re.sub(r"\$(\w+)", lambda m: VALUES[m.group(1)], target["expr"]), arguments.seconds))
            for target in panel["targets"]
        ]
        if panel["type"] == "timeseries":
            draw_series(axes, panel, found, scale)
        elif panel["type"] == "heatmap":
            draw_heatmap(axes, found)
        elif panel["type"] == "stat":
            draw_stat(axes, found, unit, scale)
        else:
            draw_table(axes, found)
    figure.savefig(arguments.out, dpi=80)


if __name__ == "__main__":
    main()
