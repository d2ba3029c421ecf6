#!/usr/bin/env python3
"""Draws the curves of a training: curves.py MODEL/curves.csv [MODEL/curves.png]. Needs matplotlib."""

import csv
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

OBJECTIVES = ("loss", "supervised", "contrastive", "distillation")


def smooth(values, window):
    means, total = [], 0.0
    for index, value in enumerate(values):
        total += value - (values[index - window] if index >= window else 0.0)
        means.append(total / min(index + 1, window))
    return means


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[1])
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure, (losses, rate) = pyplot.subplots(2, 1, sharex=True, height_ratios=(3, 1), figsize=(8, 6))
    for name in OBJECTIVES:
        if rows and rows[0][name]:
            losses.plot(steps, smooth([float(row[name]) for row in rows], max(1, len(rows) // 100)), label=name)
    losses.set_ylabel("mean over 1 % of the steps")
    losses.legend()
    rate.plot(steps, [float(row["learning_rate"]) for row in rows])
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(sys.argv[2] if len(sys.argv) == 3 else source.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
