#!/usr/bin/env python3
"""Times the CPU engine and its peers on the same checkpoint and pixels, in the same run: every program is started, loads
and warms up; then, round by round, each is timed in turn on each case while the others wait at their input.

  cpu_peers.py OUT [--models Ti/16 ...] [--batches 1 8] [--r 0 8 ...] [--dtype float32] [--peers ...] [--rounds N]
               [--seconds S] [--threads N]

A line of JSON a measurement is appended to OUT, for cpu_report.py. r: a number, falling:N (a linear schedule of mean N
that ends at 0), or mixed:A,B,... (images of each in turn). Peers that do not merge tokens are timed at r = 0 alone.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import timm
import torch
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
MODELS = {"Ti/16": "vit_tiny_patch16_224", "S/16": "vit_small_patch16_224", "B/16": "vit_base_patch16_224"}
PEERS = ("engine", "eager", "compile", "onnxruntime", "openvino", "tome")
MERGING = ("engine", "tome")


def checkpoint(name):
    """A directory as timm writes it, of seeded random weights wide enough that patches keep different keys."""
    directory = ROOT / "build/models" / f"bench-{MODELS[name]}"
    if not (directory / "model.safetensors").exists():
        torch.manual_seed(0)
        model = timm.create_model(MODELS[name], num_classes=0)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.5 if parameter.shape[0] == 1 else parameter[0].numel() ** -0.5)
        timm.models.save_for_hf(model, directory, safe_serialization=True)
    return directory


def photographs():
    """The repository's photographs at the model's size, whole, one behind the other."""
    path = ROOT / "build/bench/pixels"
    path.parent.mkdir(parents=True, exist_ok=True)
    files = sorted((ROOT / "deploy/photos").glob("*.[jp][pn]g"))
    np.stack([np.asarray(Image.open(file).convert("RGB").resize((224, 224))) for file in files]).tofile(path)
    return path


class Worker:
    """A program of its own that answers a line with a line of JSON."""

    def __init__(self, peer, directory, dtype, threads, pixels):
        program = [ROOT / "build/release/bin/tome_engine_worker"]
        if peer != "engine":
            program = [sys.executable, HERE / "peer_worker.py", peer]
        log = open(ROOT / f"build/bench/{peer}.log", "w")
        self.peer = peer
        self.process = subprocess.Popen(
            [*program, directory, dtype, str(threads), pixels],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def ask(self, line):
        self.send(line)
        return self.answer()

    def send(self, line):
        self.line = line
        print(line, file=self.process.stdin, flush=True)

    def answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"cpu_peers: {self.peer} ended at '{self.line}'; its last words are in build/bench/{self.peer}.log")
        answer = json.loads(answer)
        if "error" in answer:
            sys.exit(f"cpu_peers: {self.peer} at '{self.line}': {answer['error']}")
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def time_products(name, dtype, options, out):
    """The packed products of the blocks' four linear layers alone, which no pass can outrun."""
    batches = "|".join(map(str, options.batches))
    ran = subprocess.run(
        [
            ROOT / "build/release/bin/tome_cpu_bench",
            f"--benchmark_min_time={options.seconds}",
            "--benchmark_format=json",
            f"--benchmark_filter=^products/{name.replace('/', '')}/{dtype}/batch:({batches})/",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    for entry in json.loads(ran.stdout)["benchmarks"]:
        batch = int(entry["name"].split("batch:")[1].split("/")[0])
        print(
            json.dumps(
                {"kind": "products", "model": name, "dtype": dtype, "batch": batch, "gflops_per_second": entry["GFLOP/s"]}
            ),
            file=out,
            flush=True,
        )


def cosine(a, b):
    a, b = np.array(a), np.array(b)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def time_model(name, dtype, options, out):
    directory, pixels = checkpoint(name), photographs()
    workers = [Worker(peer, directory, dtype, options.threads, pixels) for peer in options.peers]
    embeddings = {}
    for worker in workers:
        begin = time.monotonic()
        embeddings[worker.peer] = worker.ask("embed")["embedding"]
        # Compilers and exporters work before the first pass of a batch size.
        for batch in options.batches:
            worker.ask(f"time {batch} 0 0")
        print(f"{name} {dtype}: {worker.peer} ready after {time.monotonic() - begin:.0f} s", file=sys.stderr)
    for peer, embedding in embeddings.items():
        alike = cosine(embedding, embeddings[options.peers[0]])
        if alike < (0.9999 if dtype == "float32" else 0.99):
            sys.exit(f"cpu_peers: {name} {dtype}: {peer} computes something else: cosine {alike:.6f} to {options.peers[0]}")

    for number in range(options.rounds):
        time_products(name, dtype, options, out)
        for batch in options.batches:
            for r in options.r:
                if r.startswith("mixed:") and batch == 1:
                    continue
                for worker in workers:
                    if r != "0" and worker.peer not in MERGING:
                        continue
                    rs = r.removeprefix("mixed:").split(",")
                    answer = worker.ask(f"time {batch} {options.seconds} {' '.join(rs)}")
                    entry = {"kind": "pass", "model": name, "dtype": dtype, "peer": worker.peer, "batch": batch, "r": r}
                    print(
                        json.dumps(entry | {"images_per_second": batch / answer["pass_seconds"]} | answer),
                        file=out,
                        flush=True,
                    )
        print(f"{name} {dtype}: round {number + 1} of {options.rounds}", file=sys.stderr)
    for worker in workers:
        worker.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--r", nargs="+", default=["0", "8", "13", "16", "falling:8", "mixed:0,8,13,16"])
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a") as out:
        for name in options.models:
            for dtype in options.dtype:
                peers = [peer for peer in options.peers if (peer, dtype) != ("onnxruntime", "bfloat16")]
                time_model(name, dtype, argparse.Namespace(**vars(options) | {"peers": peers}), out)


if __name__ == "__main__":
    main()
