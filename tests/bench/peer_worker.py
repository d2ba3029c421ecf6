#!/usr/bin/env python3
"""One of the peers that the CPU engine is compared with, over a checkpoint that timm wrote, timed batch by batch as the
lines on standard input ask: the Python counterpart of engine_worker.cc, with the same lines.

  peer_worker.py PEER CHECKPOINT DTYPE THREADS PIXELS

PEER is eager, compile, onnxruntime, openvino or tome. Pixels are normalised before anything is timed; the engine's own
times include that.
"""

import json
import pathlib
import statistics
import sys
import time

import numpy as np
import timm
import torch
from merged_vit import forward_merged
from safetensors.torch import load_file


def load(directory):
    config = json.loads((directory / "config.json").read_text())
    model = timm.create_model(config["architecture"], num_classes=0)
    model.load_state_dict(load_file(directory / "model.safetensors"), strict=False)
    return model.eval(), config["pretrained_cfg"]


def normalised(path, config):
    side = config["input_size"][-1]
    pixels = np.fromfile(path, np.uint8).reshape(-1, side, side, 3)
    mean, std = (np.array(config[name], np.float32) for name in ("mean", "std"))
    return torch.from_numpy(((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())


def eager(model, pixels):
    return lambda: model(pixels).float().numpy()


def compiled(model, pixels):
    # Freezing lets Inductor pack the weights for oneDNN once, as the engine does.
    import torch._inductor.config

    torch._inductor.config.freezing = True
    model = torch.compile(model, dynamic=False)
    return lambda: model(pixels).float().numpy()


def exported(model, pixels, directory):
    """An ONNX file beside the checkpoint, made once for a batch size."""
    path = directory / f"batch{len(pixels)}.onnx"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        torch.onnx.export(model, (pixels,), str(unfinished), dynamo=True, optimize=True, external_data=False, verbose=False)
        unfinished.rename(path)
    return path


def onnxruntime(network, pixels, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(str(network), options, ["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: pixels.numpy()}
    return lambda: session.run(None, feed)[0]


def openvino(network, pixels, precision, threads):
    import openvino as ov

    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(network, "CPU", settings).create_infer_request()
    feed = [pixels.numpy()]
    return lambda: request.infer(feed, share_inputs=True)[0]


def schedule(text, blocks):
    """r of each block: constant, or falling from 2r to 0."""
    if not text.startswith("falling:"):
        return [int(text)] * blocks
    mean = int(text.removeprefix("falling:"))
    return [int(2 * mean - 2 * mean / (blocks - 1) * block) for block in range(blocks)]


class Worker:
    def __init__(self, peer, directory, dtype, threads, pixels):
        self.peer, self.threads, self.dtype = peer, threads, getattr(torch, dtype)
        torch.set_num_threads(threads)
        self.directory = pathlib.Path(directory)
        self.model, config = load(self.directory)
        self.pixels = normalised(pixels, config)
        self.ready = {}

    def batch_of(self, count):
        return self.pixels[torch.arange(count) % len(self.pixels)]

    def runner(self, batch, rs):
        if self.peer == "tome":
            model = self.model.to(self.dtype)
            # No r beside another in one batch: a pass for each.
            groups = [
                (self.batch_of(batch)[i :: len(rs)].to(self.dtype), schedule(r, len(model.blocks))) for i, r in enumerate(rs)
            ]
            return lambda: [forward_merged(model, pixels, r).float().numpy() for pixels, r in groups if len(pixels)][0]
        if rs != ["0"]:
            sys.exit(f"peer_worker: {self.peer} does not merge tokens")
        if batch not in self.ready:
            self.ready[batch] = self.prepare(self.batch_of(batch))
        return self.ready[batch]

    def prepare(self, pixels):
        if self.peer in ("eager", "compile"):
            make = eager if self.peer == "eager" else compiled
            return make(self.model.to(self.dtype), pixels.to(self.dtype))
        network = exported(self.model, pixels, self.directory)
        if self.peer == "openvino":
            return openvino(network, pixels, {torch.float32: "f32", torch.bfloat16: "bf16"}[self.dtype], self.threads)
        if self.dtype != torch.float32:
            sys.exit("peer_worker: onnxruntime has no kernels for bfloat16 on a CPU")
        return onnxruntime(network, pixels, self.threads)

    def answer(self, line):
        command, *words = line.split()
        if command == "embed":
            return {"embedding": self.runner(1, ["0"])()[0].tolist()}
        assert command == "time", line
        batch, seconds, rs = int(words[0]), float(words[1]), words[2:]
        run = self.runner(batch, rs)
        run()
        passes = []
        while sum(passes) < seconds or len(passes) < 2:
            begin = time.perf_counter()
            run()
            passes.append(time.perf_counter() - begin)
        return {"pass_seconds": statistics.median(passes), "passes": len(passes)}


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    peer, directory, dtype, threads, pixels = sys.argv[1:]
    worker = Worker(peer, directory, dtype, int(threads), pixels)
    # Libraries talk on standard output while they compile and export.
    answers, sys.stdout = sys.stdout, sys.stderr
    with torch.no_grad():
        for line in sys.stdin:
            print(json.dumps(worker.answer(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
