#!/usr/bin/env python3
"""Makes the tables of RESULTS.md from the lines that cuda_bench and gpu_peers.py print.

  gpu_report.py LINES.jsonl...
"""

import collections
import json
import sys


def read(paths):
    lines = collections.defaultdict(list)
    for path in paths:
        with open(path) as file:
            for line in file:
                if line.startswith("{"):
                    entry = json.loads(line)
                    lines[entry["kind"]].append(entry)
    return lines


def table(title, heads, rows):
    if not rows:
        return
    print(f"\n{title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def main():
    lines = read(sys.argv[1:])
    for device in lines["device"]:
        print(f"{device['name']}, compute capability {device['compute_capability']}")
    rates = {(e["model"], e["type"], e["batch"], e["r"]): e for e in lines["engine"]}
    flops = {(e["model"], e["r"]): e for e in lines["flops"]}

    rows = []
    for (model, kind, batch, r), entry in rates.items():
        base = rates.get((model, kind, batch, "0"))
        gain, ratio = "", ""
        if r in ("half", "cap") and base:
            speedup = entry["images_per_second"] / base["images_per_second"]
            wanted = flops[(model, "0")]["gflops"] / flops[(model, r)]["gflops"]
            gain, ratio = f"{speedup:.2f}", f"{speedup / wanted:.2f}"
        if r == "mixed":
            parts = [rates.get((model, kind, batch, part)) for part in ("0", "half", "cap")]
            if all(parts):
                share = [batch - 2 * (batch // 3), batch // 3, batch // 3]
                if batch % 3 == 2:
                    share = [batch // 3 + 1, batch // 3 + 1, batch // 3]
                alone = sum(n / part["images_per_second"] for n, part in zip(share, parts))
                ratio = f"{entry['images_per_second'] * alone / batch:.2f} of its parts"
        constant = flops[(model, r)]["constant_r"] if (model, r) in flops else r
        rows.append((model, kind, batch, constant, f"{entry['images_per_second']:.0f}", f"{entry['pass_ms']:.2f}",
                     f"{entry['alone_ms']:.2f}", f"{entry['copy_ms']:.2f}", gain, ratio))
    table("Engine, pixels in host memory to embeddings in host memory, two runs in flight",
          ("model", "type", "batch", "r", "images/s", "pass ms", "one run ms", "copy ms", "over r=0", "of the FLOP ratio"), rows)

    rows = []
    for peak in lines["gemm_peak"]:
        entry = rates.get((peak["model"], "bfloat16", peak["batch"], "0"))
        if entry:
            reached = entry["images_per_second"] * flops[(peak["model"], "0")]["gflops"] / 1e3
            rows.append((peak["model"], peak["batch"], f"{peak['tflops']:.0f}", f"{reached:.0f}", f"{reached / peak['tflops']:.0%}"))
    table("bfloat16 at r=0 against the linear layers alone (fastest cuBLASLt algorithms, measured in the same run)",
          ("model", "batch", "GEMM TFLOP/s", "engine TFLOP/s", "share"), rows)

    rows = []
    constants = {(model, e["constant_r"]): r for (model, r), e in flops.items()}
    for peer in lines["peer"]:
        entry = rates.get((peer["model"], "bfloat16", peer["batch"], constants.get((peer["model"], peer["r"]))))
        engine = f"{entry['images_per_second']:.0f}" if entry else ""
        over = f"{entry['images_per_second'] / peer['images_per_second']:.2f}" if entry else ""
        rows.append((peer["model"], peer["batch"], peer["r"], peer["peer"], f"{peer['images_per_second']:.0f}", engine, over))
    table("bfloat16 against PyTorch on the same GPU", ("model", "batch", "r", "peer", "images/s", "engine", "engine over peer"), rows)

    passes = collections.defaultdict(list)
    for step in lines["step"]:
        passes[(step["model"], step["batch"], step["r"])].append(step)
    for (model, batch, r), steps in passes.items():
        total = sum(step["ms"] for step in steps)
        rows = [(s["step"], s["times"], f"{s['ms']:.3f}", f"{s['ms'] / total:.1%}") for s in sorted(steps, key=lambda s: -s["ms"])]
        table(f"One pass of {model}, batch {batch}, r={r}: {total:.2f} ms, an event behind each step",
              ("step", "times", "ms", "share"), rows)


if __name__ == "__main__":
    main()
