#!/usr/bin/env python3
"""What merging costs beside dropping tokens at random, what each saving of the CPU engine is worth, and what a new plan costs.

  cpu_savings.py OUT [--models S16 B16] [--dtype float32 bfloat16] [--rounds N]

A line of JSON a comparison is appended to OUT, for cpu_report.py. Both sides of one are timed by turns, each in a process
of its own, by tome_cpu_bench and tome_cpu_drop_bench. B/16 in float32 takes a minute a round.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

BINARIES = pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"
BENCH, DROP = BINARIES / "tome_cpu_bench", BINARIES / "tome_cpu_drop_bench"

# What, the one side and the other: program and benchmark's name. Its cost is the first over the second.
COMPARISONS = [
    ("merging 16 a block, over dropping 16 at random, batch 8", (BENCH, "fast/{}/batch:8/r:16"), (DROP, "fast/{}/batch:8/r:16")),
    ("merging 16 a block, over dropping 16 at random, batch 1", (BENCH, "fast/{}/batch:1/r:16"), (DROP, "fast/{}/batch:1/r:16")),
    ("last block for every row, over prefix rows alone, r=0", (BENCH, "whole/{}/batch:8/r:0"), (BENCH, "fast/{}/batch:8/r:0")),
    ("last block for every row, over prefix rows alone, r=16", (BENCH, "whole/{}/batch:8/r:16"), (BENCH, "fast/{}/batch:8/r:16")),
    ("an MLP layer by layer, over tile by tile", (BENCH, "mlp/{}/layer_by_layer"), (BENCH, "mlp/{}/tiled")),
    ("an MLP with LayerScale apart, over in its weights", (BENCH, "mlp/{}/scale_apart"), (BENCH, "mlp/{}/tiled")),
    ("12 batches of 8, each a new plan, over the same again", (BENCH, "plans/{}/batch:8/new"), (BENCH, "plans/{}/batch:8/seen")),
]  # fmt: skip


def milliseconds(program, name):
    """Of one iteration, in a new process."""
    # google-benchmark appends the clock, and the iterations where they are fixed.
    command = [program, f"--benchmark_filter=^{name}(/iterations:1)?/real_time$", "--benchmark_format=json"]
    answer = subprocess.run([*command, "--benchmark_min_time=0.5"], capture_output=True, text=True, check=True)
    (found,) = json.loads(answer.stdout)["benchmarks"]
    return found["real_time"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--models", nargs="+", default=["S16", "B16"])
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with options.out.open("a") as out:
        for model in options.models:
            for dtype in options.dtype:
                for what, *sides in COMPARISONS:
                    times = [[], []]
                    for _ in range(options.rounds):
                        for side, (program, name) in enumerate(sides):
                            times[side].append(milliseconds(program, name.format(f"{model}/{dtype}")))
                    line = {"kind": "saving", "what": what, "model": model, "dtype": dtype, "milliseconds": times}
                    print(json.dumps(line), file=out, flush=True)
                    print(what, model, dtype, *(f"{statistics.median(side):.1f} ms" for side in times), flush=True)


if __name__ == "__main__":
    main()
