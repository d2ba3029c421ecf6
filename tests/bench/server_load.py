#!/usr/bin/env python3
"""Puts tome-server under load with real photographs, and beside it infinity-emb on the same checkpoint (a CLIP of
ViT-S/16's size, seeded random weights) and pictures: the engine alone, one picture at a time, closed loop to saturation,
open loop at a ladder of loads.

  server_load.py OUT [--pictures 1024x768 256x256] [--r 0 16 ...] [--loads 0.2 ...] [--window S] [--max-duration S]
                 [--rounds N] [--no-peer]

A line of JSON a measurement is appended to OUT, for cpu_report.py. The servers, the client and what is measured share
the machine; an idle server has no thread that runs.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import torch
import transformers
from cpu_peers import ROOT, Worker, cosine, photographs
from PIL import Image, ImageOps

sys.path.insert(0, str(ROOT / "tests/testing"))
from tome_server import BINARIES, Server  # noqa: E402

CORES = len(os.sched_getaffinity(0))
# The server's default.
DTYPE = "bfloat16" if "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text() else "float32"


def checkpoint():
    """A CLIP with a vision tower of ViT-S/16's size; a small text tower, for infinity-emb asks for one."""
    directory = ROOT / "build/models/bench-clip-s16"
    if (directory / "model.safetensors").exists():
        return directory
    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    (directory / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(directory / "vocab.json", directory / "merges.txt", model_max_length=77)
    text = dict(
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=len(words),
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    vision = dict(
        hidden_size=384,
        intermediate_size=1536,
        num_attention_heads=6,
        num_hidden_layers=12,
        image_size=224,
        patch_size=16,
        hidden_act="gelu",
    )
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=384))
    with torch.no_grad():
        for parameter in model.vision_model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    transformers.CLIPImageProcessor(size={"shortest_edge": 224}, crop_size=224).save_pretrained(directory)
    return directory


def pictures(size):
    """A folder of the repository's photographs as JPEG files of this size."""
    folder = ROOT / f"build/bench/{size}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted((ROOT / "deploy/photos").glob("*.[jp][pn]g")):
        wanted = tuple(map(int, size.split("x")))
        ImageOps.fit(Image.open(file).convert("RGB"), wanted).save(folder / f"{file.stem}.jpg", quality=90)
    return folder


def cpu_seconds(process):
    user, system = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Tome:
    """tome-server with its defaults, loaded by `tome bench`."""

    name = "tome"

    def __init__(self, directory, options):
        self.options = options
        self.server = Server(["--model", f"clip={directory}", "--drain-delay", "0s"])

    def load(self, folder, r, *how):
        served, sent = cpu_seconds(self.server.process), children_seconds()
        command = [
            BINARIES / "tome",
            "--server",
            self.server.address,
            "--json",
            "bench",
            folder,
            "--r",
            r,
            "--window",
            f"{self.options.window}s",
            "--max-duration",
            f"{self.options.max_duration}s",
            *map(str, how),
        ]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        answered = sum(window["embedded"] for window in told["windows"])
        # Of the whole run, warm-up included, over the images of the windows: a little too much.
        told["server_core_ms"] = 1e3 * (cpu_seconds(self.server.process) - served) / max(answered, 1)
        told["client_core_ms"] = 1e3 * (children_seconds() - sent) / max(answered, 1)
        return told

    def embed(self, picture):
        command = [BINARIES / "tome", "--server", self.server.address, "embed", picture, "--r", "0"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["vector"]

    def close(self):
        self.server.terminate()
        self.server.wait()


class Infinity:
    """infinity-emb's REST server, loaded by threads that each send a picture when the last is answered."""

    name = "infinity-emb"

    def __init__(self, directory, options):
        self.options = options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        self.log = open(ROOT / "build/bench/infinity.log", "w")
        self.process = subprocess.Popen(
            [
                pathlib.Path(sys.executable).parent / "infinity_emb",
                "v2",
                "--model-id",
                directory,
                "--served-model-name",
                "clip",
                "--engine",
                "torch",
                "--device",
                "cpu",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
            ],
            stdout=self.log,
            stderr=self.log,
            env=environment,
        )
        deadline = time.monotonic() + 120
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("server_load: infinity-emb does not serve; its last words are in build/bench/infinity.log")
            time.sleep(0.5)

    def healthy(self):
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        return False

    def post(self, connection, body):
        connection.request("POST", "/embeddings", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"infinity-emb answers {answer.status}: {text[:500]}")
        return text

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    @staticmethod
    def body(picture):
        image = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
        return json.dumps({"model": "clip", "modality": "image", "input": [image]})

    def embed(self, picture):
        return json.loads(self.post(self.connect(), self.body(picture)))["data"][0]["embedding"]

    def load(self, folder, r, flag, concurrency):
        assert r == "0" and flag == "--concurrency"
        bodies = [self.body(picture) for picture in sorted(folder.iterdir())]
        begin = time.monotonic()
        measured_from, end = begin + 3.0, begin + 3.0 + 3 * self.options.window
        latencies, lock = [], threading.Lock()

        def send(number):
            connection = self.connect()
            while (sent := time.monotonic()) < end:
                self.post(connection, bodies[number % len(bodies)])
                if sent >= measured_from:
                    with lock:
                        latencies.append(time.monotonic() - sent)
                number += 1

        with concurrent.futures.ThreadPoolExecutor(concurrency) as senders:
            for sender in [senders.submit(send, number) for number in range(concurrency)]:
                sender.result()
        latencies.sort()
        at = {f"p{p}": 1e3 * latencies[min(int(len(latencies) * p / 100), len(latencies) - 1)] for p in (50, 90, 99)}
        return {
            "embedded": len(latencies),
            "images_per_second": len(latencies) / (end - measured_from),
            "latency_ms": at,
            "concurrency": concurrency,
            "loop": "closed",
        }

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def measure(out, options):
    directory, pixels = checkpoint(), photographs()

    def note(kind, **entry):
        print(json.dumps({"kind": kind} | entry), file=out, flush=True)

    with contextlib.ExitStack() as running:
        engine = Worker("engine", directory, DTYPE, CORES, pixels)
        running.callback(engine.close)
        tome = Tome(directory, options)
        running.callback(tome.close)
        peer = None
        if not options.no_peer:
            peer = Infinity(directory, options)
            running.callback(peer.close)
        for size in options.pictures:
            folder = pictures(size)
            if peer:
                first = min(folder.iterdir())
                alike = cosine(tome.embed(first), peer.embed(first))
                print(f"{size}: cosine {alike:.6f} between the servers' embeddings", file=sys.stderr)
                if alike < (0.999 if DTYPE == "float32" else 0.99):
                    sys.exit("server_load: the servers do not embed alike")
            for r in options.r:

                def load(server, *how):
                    told = server.load(folder, r, *how)
                    note("load", server=server.name, pictures=size, **{"r": r} | {k: v for k, v in told.items() if k != "r"})
                    print(
                        f"{size} r {r} {server.name} {how}: {told['images_per_second']:.2f} images/s, "
                        f"p50 {told['latency_ms']['p50']} ms",
                        file=sys.stderr,
                    )
                    return told

                def engine_alone():
                    # Of a mixture the weighted sum of what each r takes.
                    shares = [(share.partition(":")[0], float(share.partition(":")[2] or 1)) for share in r.split(",")]
                    seconds = sum(
                        weight * engine.ask(f"time 8 {options.window} {each}")["pass_seconds"] / 8 for each, weight in shares
                    ) / sum(weight for _, weight in shares)
                    note("engine", pictures=size, r=r, images_per_second=1 / seconds)

                engine_alone()
                load(tome, "--concurrency", 1)
                rates = []
                for _ in range(options.rounds):
                    for concurrency in options.concurrency:
                        rates.append(load(tome, "--concurrency", concurrency)["images_per_second"])
                    if peer and r == "0":
                        for concurrency in (1, *options.concurrency):
                            load(peer, "--concurrency", concurrency)
                    engine_alone()
                for share in options.loads:
                    told = load(tome, "--rate", round(share * max(rates), 3))
                    note(
                        "open",
                        pictures=size,
                        r=r,
                        share=share,
                        capacity=max(rates),
                        **{k: told[k] for k in ("rate", "latency_ms", "steady", "errors")},
                    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--pictures", nargs="+", default=["1024x768", "256x256"])
    parser.add_argument("--r", nargs="+", default=["0", "16"])
    parser.add_argument("--concurrency", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--loads", nargs="*", type=float, default=[0.2, 0.4, 0.6, 0.7, 0.8, 0.9])
    parser.add_argument("--window", type=float, default=6.0)
    parser.add_argument("--max-duration", type=float, default=36.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args()
    # So that the servers end with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a") as out:
        measure(out, options)


if __name__ == "__main__":
    main()
