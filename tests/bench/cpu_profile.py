#!/usr/bin/env python3
"""Where a pass of the CPU engine spends its time, by what perf sees: a breakdown by stage.

  cpu_profile.py OUT [--models S/16 B/16] [--batches 1 8] [--r 0 16] [--seconds S]

A line of JSON a breakdown is appended to OUT, for cpu_report.py. Needs perf (Debian's linux-perf).
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess

from cpu_peers import MODELS, ROOT, Worker, checkpoint, photographs

# The first that a function's name, or the library that it is in, matches. oneDNN's kernels are made at run time and
# have no name; GELU is fused into them.
STAGES = [
    ("attention", r"[Aa]tten[dt]"),
    ("matching", r"[Mm]atch"),
    ("merging", r"[Mm]erge"),
    ("norms", r"[Nn]orm"),
    ("linear layers", r"dnnl|mkldnn|jit|JIT|//anon|\[unknown\]"),
    ("patches", r"[Pp]atch"),
    ("threads waiting", r"libgomp|futex|sched|do_idle|kernel"),
]


def stage(function):
    return next((name for name, pattern in STAGES if re.search(pattern, function)), "the rest")


def profile(worker, batch, r, seconds):
    data = ROOT / "build/bench/perf.data"
    worker.ask(f"time {batch} 0 {r}")
    # Longer than perf looks on.
    worker.send(f"time {batch} {2 * seconds + 1} {r}")
    record = ["perf", "record", "--quiet", "-e", "cpu-clock", "-F", "997", "-o", data, "-p", str(worker.process.pid)]
    subprocess.run([*record, "--", "sleep", str(seconds)], check=True)
    answer = worker.answer()
    report = subprocess.run(
        ["perf", "report", "--stdio", "-i", data, "--sort", "dso,symbol", "-F", "overhead,dso,symbol", "-w", "0,200,400"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    shares = collections.Counter()
    for line in report.stdout.splitlines():
        if found := re.match(r"\s*([\d.]+)%\s+(.*)", line):
            shares[stage(found[2])] += float(found[1])
    return answer["pass_seconds"], dict(shares)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--models", nargs="+", default=["S/16", "B/16"], choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--r", nargs="+", default=["0", "16"])
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with options.out.open("a") as out:
        for model in options.models:
            for dtype in options.dtype:
                worker = Worker("engine", checkpoint(model), dtype, len(os.sched_getaffinity(0)), photographs())
                for batch in options.batches:
                    for r in options.r:
                        seconds, shares = profile(worker, batch, r, options.seconds)
                        entry = {"kind": "profile", "model": model, "dtype": dtype, "batch": batch, "r": r}
                        print(json.dumps(entry | {"pass_seconds": seconds, "shares": shares}), file=out, flush=True)
                worker.close()


if __name__ == "__main__":
    main()
