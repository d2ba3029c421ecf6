"""The plots beside RESULTS.md: images a second against r, and latency against load."""

import pathlib
import statistics

import matplotlib
from cpu_results import NAMES, PEERS, grouped

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def save(figure, name):
    figure.tight_layout()
    figure.savefig(HERE / name, dpi=80)
    plt.close(figure)


def draw_rates(kinds):
    passes = grouped(kinds["pass"], "images_per_second", "model", "batch", "r", "peer", "dtype")
    models = list(dict.fromkeys(key[0] for key in passes if key[1] == 8))
    figure, axes = plt.subplots(1, len(models), figsize=(4 * len(models), 3.6), squeeze=False)
    for axis, model in zip(axes[0], models):
        rs = sorted({int(key[2]) for key in passes if key[0] == model and key[2].isdigit()})
        for peer, style in (("engine", "o-"), ("tome", "s--")):
            there = [
                (r, statistics.median(passes[key])) for r in rs if (key := (model, 8, str(r), peer, "float32")) in passes
            ]
            axis.plot(*zip(*there), style, label=NAMES[peer])
        for peer in PEERS:
            if (key := (model, 8, "0", peer, "float32")) in passes:
                axis.plot([0], [statistics.median(passes[key])], "x", label=NAMES[peer])
        axis.set(title=f"ViT-{model}, batch 8, float32", xlabel="r", ylabel="images/s", ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=7)
    save(figure, "images_against_r.png")


def draw_latency(kinds):
    sizes = list(dict.fromkeys(entry["pictures"] for entry in kinds["open"]))
    figure, axes = plt.subplots(1, len(sizes), figsize=(4.5 * len(sizes), 3.6), squeeze=False)
    for axis, size in zip(axes[0], sizes):
        for number, r in enumerate(dict.fromkeys(e["r"] for e in kinds["open"] if e["pictures"] == size)):
            points = [e for e in kinds["open"] if (e["pictures"], e["r"]) == (size, r)]
            for quantile, style in (("p50", "-"), ("p99", "--")):
                measured = [(e["rate"], e["latency_ms"][quantile]) for e in points if e["latency_ms"][quantile] is not None]
                if measured:
                    axis.plot(*zip(*measured), f"C{number}o{style}", markersize=3, label=f"r={r}, {quantile}")
        axis.set(title=f"{size} JPEGs, open loop", xlabel="images/s due", ylabel="latency, ms", ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    save(figure, "latency_against_load.png")
