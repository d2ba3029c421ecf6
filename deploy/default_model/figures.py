#!/usr/bin/env python3
"""Draws accuracy and fidelity against speed: the picture of the README.

    figures.py OUT.png NAME=REPORT.json...      each REPORT is what `tome --json evaluate --labels folders` printed

Needs matplotlib.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def draw(axes, name, speeds, values, labels):
    (line,) = axes.plot(speeds, values, marker="o", label=name)
    for x, y, label in zip(speeds, values, labels):
        axes.annotate(label, (x, y), textcoords="offset points", xytext=(4, 5), fontsize=8, color=line.get_color())


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    figure, (accuracy, fidelity) = pyplot.subplots(1, 2, figsize=(11, 4))
    lowest_cosine = 0.85
    for argument in sys.argv[2:]:
        name, _, path = argument.partition("=")
        rungs = json.loads(pathlib.Path(path).read_text())["rungs"]
        labels = [rung["schedule"].replace("r = ", "r ") for rung in rungs]
        speeds = [rung["images_per_second"] for rung in rungs]
        draw(accuracy, name, speeds, [100 * rung["label_accuracy"] for rung in rungs], labels)
        cosines = [rung["cosine_mean"] for rung in rungs]
        draw(fidelity, name, speeds, cosines, labels)
        lowest_cosine = min(lowest_cosine, *cosines)
    accuracy.set_ylabel("nearest neighbour of the same category, %")
    fidelity.set_ylabel("cosine to r = 0, mean")
    # From 0, as far as there is something to lose.
    accuracy.set_ylim(0, 100)
    fidelity.set_ylim(lowest_cosine - 0.05, 1.02)
    for axes in (accuracy, fidelity):
        axes.set_xlabel("images a second")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()
