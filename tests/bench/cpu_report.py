#!/usr/bin/env python3
"""Writes what cpu_peers.py and server_load.py measured into RESULTS.md, between its markers, and draws the plots.

cpu_report.py LINES COMMAND
"""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

from cpu_plots import draw_latency, draw_rates
from cpu_results import NAMES, PEERS, grouped, read

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
BEGIN, END = "<!-- cpu tables: written by tests/bench/run.sh -->", "<!-- end of the cpu tables -->"
CORES = len(os.sched_getaffinity(0))


def spread(values):
    """Median, and how far the rounds lie apart."""
    median = statistics.median(values)
    if len(values) == 1:
        return f"{median:.3g}"
    return f"{median:.3g} ±{50 * (max(values) - min(values)) / median:.0f}%"


def number(values, digits):
    return f"{statistics.median(values):.{digits}f}" if values else "-"


def ratio(over, under, digits=2):
    return f"{statistics.median(over) / statistics.median(under):.{digits}f}" if over and under else "-"


def table(title, columns, rows):
    lines = [f"{title}\n", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n" if rows else ""


def machine(command):
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"^flags\s*: (.*)$", cpu, re.M)[1].split())
    has = [name for name in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    facts = re.search(r"^cpu family\s*: (\d+)\nmodel\s*: (\d+)\nmodel name\s*: (.*)$", cpu, re.M)
    memory = int(re.search(r"MemTotal: +(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "timm", "onnxruntime", "openvino", "infinity-emb", "transformers")
    )
    return (
        f"`{command}` at {commit}, {datetime.date.today()}. {facts[3]} (family {facts[1]}, model {facts[2]}), {CORES} cores with "
        f"{', '.join(has)}; {memory:.0f} GiB; Linux {platform.release()}. {versions}.\n"
    )


def peers(kinds):
    passes = grouped(kinds["pass"], "images_per_second", "model", "dtype", "batch", "r", "peer")
    rows = []
    for model, dtype, batch, r in dict.fromkeys(key[:4] for key in passes):
        if r != "0":
            continue
        rates = {peer: passes.get((model, dtype, batch, r, peer)) for peer in ("engine", *PEERS)}
        there = {peer: statistics.median(values) for peer, values in rates.items() if values and peer != "engine"}
        best = max(there, key=there.get)
        rows.append(
            (
                model,
                dtype,
                batch,
                *(spread(values) if values else "-" for values in rates.values()),
                ratio(rates["engine"], rates[best], 2) + f" ({NAMES[best]})",
                len(rates["engine"]),
            )
        )
    return table(
        "r=0, images/s: the median of the rounds, and half of what lies between the slowest and the fastest. Peers get pixels that "
        "are normalised already.",
        ("model", "type", "batch", *(NAMES[peer] for peer in ("engine", *PEERS)), "over the best peer", "rounds"),
        rows,
    )


def peak(kinds):
    products = grouped(kinds["products"], "gflops_per_second", "model", "dtype", "batch")
    engine = [entry for entry in kinds["pass"] if entry["peer"] == "engine" and entry["r"] == "0"]
    flops = {(entry["model"], entry["batch"]): entry["gflops_unmerged"] for entry in engine}
    rates = grouped(engine, "images_per_second", "model", "dtype", "batch")
    rows = []
    for (model, dtype, batch), values in products.items():
        if (model, dtype, batch) not in rates:
            continue
        reached = statistics.median(rates[model, dtype, batch]) * flops[model, batch] / batch
        most = statistics.median(values)
        rows.append((model, dtype, batch, f"{most:.0f}", f"{reached:.0f}", f"{reached / most:.0%}"))
    return table(
        "r=0 against the packed products of the blocks' linear layers alone, in GFLOP/s of the model's nominal FLOPs",
        ("model", "type", "batch", "products alone", "engine", "share"),
        rows,
    )


def merging(kinds):
    passes = grouped(kinds["pass"], "images_per_second", "model", "dtype", "batch", "r", "peer")
    ratios = {
        (e["model"], e["batch"], e["r"]): e["gflops_unmerged"] / e["gflops"] for e in kinds["pass"] if e["peer"] == "engine"
    }
    rows = []
    for model, dtype, batch, r, peer in passes:
        if peer != "engine" or r == "0":
            continue

        def of(who, at):
            return passes.get((model, dtype, batch, at, who), [])

        mine, flops = of("engine", r), ratios[model, batch, r]
        gain = statistics.median(mine) / statistics.median(of("engine", "0"))
        mixed = r.removeprefix("mixed:").split(",")
        parts = []
        if len(mixed) > 1 and all(of("engine", each) for each in mixed):
            parts = [len(mixed) / sum(1 / statistics.median(of("engine", each)) for each in mixed)]
        rows.append(
            (model, dtype, batch, r, spread(mine), f"{gain:.2f}", f"{flops:.2f}", f"{gain / flops:.2f}", ratio(mine, parts))
            + (number(of("tome", r), 1), ratio(of("tome", r), of("tome", "0")), ratio(mine, of("tome", r)))
        )
    return table(
        "With merging, images/s. `falling:8` falls from 16 to 0 over the blocks; `mixed` has images of each r in one batch, and its parts are "
        "what the same images take in batches of their own r. ToMe in PyTorch runs a mixture as batches of one r each.",
        (
            "model",
            "type",
            "batch",
            "r",
            "images/s",
            "over r=0",
            "FLOP ratio",
            "share of it",
            "of its parts",
            "ToMe in PyTorch",
            "over its r=0",
            "engine over it",
        ),
        rows,
    )


def profiles(kinds):
    stages = list(dict.fromkeys(stage for entry in kinds["profile"] for stage in entry["shares"]))
    rows = [
        (
            e["model"],
            e["dtype"],
            e["batch"],
            e["r"],
            f"{1e3 * e['pass_seconds']:.1f}",
            *(f"{e['shares'].get(stage, 0):.1f}" for stage in stages),
        )
        for e in kinds["profile"]
    ]
    return table(
        "Where a pass goes, in percent of the samples that perf took; GELU is part of the linear layers",
        ("model", "type", "batch", "r", "pass ms", *stages),
        rows,
    )


def savings(kinds):
    lines = grouped(kinds["saving"], "milliseconds", "what", "model", "dtype")
    shown = list(dict.fromkeys(key[1:] for key in lines))

    def cell(what, model, dtype):
        found = lines.get((what, model, dtype))
        # What else a machine does only ever adds: the fastest round has the least of it.
        return f"{min(found[0][0]) / min(found[0][1]):.2f}" if found else "-"

    return table(
        "The first over the second, time over time, of the fastest round of each",
        ("", *(f"{model}, {dtype}" for model, dtype in shown)),
        [(what, *(cell(what, *key) for key in shown)) for what in dict.fromkeys(key[0] for key in lines)],
    )


def server(kinds):
    engine = grouped(kinds["engine"], "images_per_second", "pictures", "r")
    loads = [entry for entry in kinds["load"] if entry["server"] == "tome" and entry["loop"] == "closed"]
    bounds, alone = [], []
    for size, r in engine:
        mine = [entry for entry in loads if (entry["pictures"], entry["r"]) == (size, r)]
        one = [entry for entry in mine if entry["concurrency"] == 1]
        engine_ms = 1e3 * CORES / statistics.median(engine[size, r])
        image_ms = statistics.median(e["mean_stage_ms"]["decode"] + e["mean_stage_ms"]["preprocess"] for e in one)
        bound = 1e3 * CORES / (engine_ms + image_ms)
        by_concurrency = grouped([e for e in mine if e["concurrency"] > 1], "images_per_second", "concurrency")
        best = max(by_concurrency, key=lambda key: statistics.median(by_concurrency[key]))
        reached = statistics.median(by_concurrency[best])
        at_best = [e for e in mine if e["concurrency"] == best[0]]
        bounds.append(
            (
                size,
                r,
                f"{engine_ms:.1f}",
                f"{image_ms:.2f}",
                f"{bound:.2f}",
                spread(by_concurrency[best]),
                best[0],
                f"{reached / bound:.0%}",
                f"{statistics.median(e['client_core_ms'] for e in at_best):.2f}",
            )
        )
        for e in one:
            alone.append(
                (
                    size,
                    r,
                    f"{e['latency_ms']['p50']:.2f}",
                    *(f"{e['mean_stage_ms'][s]:.3f}" for s in ("decode", "preprocess", "queue", "compute")),
                    f"{1e3 * e['outside_decode_preprocess_compute_ms']['p50']:.0f}",
                )
            )
    text = table(
        "Closed loop to saturation, images/s. Bound: cores / (engine + decode and resize, core-ms an image, both of this run)",
        (
            "pictures",
            "r",
            "engine core-ms",
            "decode, resize core-ms",
            "bound",
            "reached",
            "at once",
            "share",
            "`tome bench` itself, core-ms",
        ),
        bounds,
    )
    text += "\n" + table(
        "One picture at a time, ms",
        (
            "pictures",
            "r",
            "p50",
            "decode",
            "preprocess",
            "queue",
            "compute",
            "outside decode, preprocess and compute, p50, us",
        ),
        alone,
    )
    rows = [
        (
            e["pictures"],
            e["r"],
            f"{e['share']:.0%}",
            f"{e['rate']:.1f}",
            *(
                "-" if e["latency_ms"][p] is None else f"{e['latency_ms'][p]:.0f}"
                for p in ("p50", "p90", "p99", "p99.9", "largest")
            ),
            "yes" if e["steady"] else "no",
            sum(e["errors"].values()),
        )
        for e in kinds["open"]
    ]
    text += "\n" + table(
        "Open loop, Poisson arrivals, ms from when a picture was due. Load: share of the closed loop's best",
        ("pictures", "r", "load", "images/s due", "p50", "p90", "p99", "p99.9", "largest", "steady", "errors"),
        rows,
    )
    rows = []
    closed = [entry for entry in kinds["load"] if entry["loop"] == "closed" and entry["r"] == "0"]
    rates = grouped(closed, "images_per_second", "pictures", "concurrency", "server")
    latencies = grouped(
        [entry | {"p50": entry["latency_ms"]["p50"]} for entry in closed], "p50", "pictures", "concurrency", "server"
    )
    for size, concurrency, who in rates:
        other = rates.get((size, concurrency, "infinity-emb"))
        if who == "tome" and other:
            mine = rates[size, concurrency, who]
            rows.append(
                (
                    size,
                    concurrency,
                    spread(mine),
                    spread(other),
                    f"{statistics.median(mine) / statistics.median(other):.2f}",
                    *(f"{statistics.median(latencies[size, concurrency, name]):.0f}" for name in ("tome", "infinity-emb")),
                )
            )
    return (
        text
        + "\n"
        + table(
            "Beside infinity-emb (torch engine, float32), the same CLIP checkpoint and JPEGs, r=0, closed loop. tome-server computes in its "
            "default type: bfloat16 where the processor has it",
            (
                "pictures",
                "at once",
                "tome-server images/s",
                "infinity-emb images/s",
                "ratio",
                "p50 ms",
                "infinity-emb p50 ms",
            ),
            rows,
        )
    )


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    kinds = read(pathlib.Path(sys.argv[1]))
    parts = [machine(sys.argv[2])]
    if kinds["pass"]:
        parts += [peers(kinds), peak(kinds), merging(kinds), profiles(kinds)]
        draw_rates(kinds)
    parts.append(savings(kinds))
    if kinds["engine"]:
        parts.append(server(kinds))
    if kinds["open"]:
        draw_latency(kinds)
    before, rest = RESULTS.read_text().split(BEGIN)
    RESULTS.write_text(before + BEGIN + "\n\n" + "\n".join(part for part in parts if part) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
