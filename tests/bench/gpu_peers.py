#!/usr/bin/env python3
"""Times what the CUDA engine is compared with, on the GPU that it was timed on: the same vision transformers in PyTorch
eager, torch.compile (max-autotune), and Token Merging in PyTorch. bfloat16, inputs already normalised and on the
device; the engine's own times include both. A line of JSON a measurement, for gpu_report.py.

  gpu_peers.py [--seconds N]    begins no measurement after N seconds
"""

import argparse
import json
import statistics
import sys
import time

import torch
from merged_vit import forward_merged
from timm.models.vision_transformer import VisionTransformer

# name: side, patch, width, blocks, heads
MODELS = {
    "B/16@224": (224, 16, 768, 12, 12),
    "L/16@224": (224, 16, 1024, 24, 16),
    "H/14@224": (224, 14, 1280, 32, 16),
    "L/14@336": (336, 14, 1024, 24, 16),
}
# Compiling takes minutes: only what the comparison is about.
COMPILED = [("L/16@224", 64), ("B/16@224", 64), ("B/16@224", 1)]
EAGER = [("L/16@224", 64), ("B/16@224", 64), ("B/16@224", 1), ("B/16@224", 8), ("L/16@224", 8), ("H/14@224", 64),
         ("L/14@336", 64), ("B/16@224", 256), ("L/16@224", 256)]
MERGED = [("L/16@224", 64), ("B/16@224", 64), ("B/16@224", 8)]


def make(name):
    side, patch, width, blocks, heads = MODELS[name]
    torch.manual_seed(0)
    model = VisionTransformer(img_size=side, patch_size=patch, embed_dim=width, depth=blocks, num_heads=heads, num_classes=0)
    return model.eval().to("cuda", torch.bfloat16)


def images(name, batch):
    side = MODELS[name][0]
    return torch.randn(batch, 3, side, side, device="cuda", dtype=torch.bfloat16)


def seconds_of(run):
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    while len(times) < 10 or (sum(times) < 0.5 and len(times) < 200):
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return statistics.median(times)


def report(peer, name, batch, r, seconds):
    print(json.dumps({"kind": "peer", "peer": peer, "model": name, "batch": batch, "r": r,
                      "images_per_second": round(batch / seconds, 1), "pass_ms": round(seconds * 1e3, 3)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240)
    end = time.monotonic() + parser.parse_args().seconds
    models = {}

    def model_of(name):
        if name not in models:
            models[name] = make(name)
        return models[name]

    with torch.inference_mode():
        for name, batch in EAGER:
            model, pixels = model_of(name), images(name, batch)
            report("eager", name, batch, 0, seconds_of(lambda: model(pixels)))
        for name, batch in MERGED:
            model, pixels = model_of(name), images(name, batch)
            side, patch, _, blocks, _ = MODELS[name]
            most = -(-((side // patch) ** 2) // blocks)
            for r in (0, most // 2, most):
                report("ToMe in PyTorch", name, batch, r, seconds_of(lambda: forward_merged(model, pixels, [r] * blocks)))
        for name, batch in COMPILED:
            if time.monotonic() > end:
                print(f"gpu_peers: no time left to compile {name} at batch {batch}", file=sys.stderr)
                continue
            torch._dynamo.reset()
            compiled, pixels = torch.compile(model_of(name), mode="max-autotune"), images(name, batch)
            report("compile max-autotune", name, batch, 0, seconds_of(lambda: compiled(pixels)))


if __name__ == "__main__":
    main()
