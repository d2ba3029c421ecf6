#!/usr/bin/env python3
"""Measures what memory and cores a server needs for a model: the sizing table in k8s/README.md.

    tests/bench/server_memory.py [--seconds 60] CHECKPOINT [OPTION...]     OPTIONs are those of tome-server

Run it with the Python of the tests' environment, on a machine that does nothing else. Photographs at 17 r are sent by
as many callers as two of the server's largest batches hold, so that batches of ever new shapes come.
"""

import argparse
import itertools
import pathlib
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "testing"))

import grpc  # noqa: E402
import messages  # noqa: E402
from tome_server import ROOT, Server  # noqa: E402

CALLERS = 64
PHOTOS = [path.read_bytes() for path in sorted((ROOT / "deploy/photos").glob("*.jpg"))]


def mebibytes(process, what):
    """A line of the process's status: VmRSS is the resident memory, VmHWM its highest so far."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status).group(1)) / 1024


def call_until_it_ends(server, answered):
    """Keeps the server full; adds to `answered` for each image, and returns when the server is gone."""
    from tome.v1 import embedding_pb2 as pb

    requests = itertools.cycle(
        pb.EmbedRequest(input=pb.Input(encoded=photo), merge=pb.MergeSpec(constant=r))
        for r in range(17)
        for photo in PHOTOS
    )
    lock = threading.Lock()

    def call(stub):
        while True:
            with lock:
                request = next(requests)
            try:
                stub.Embed(request, timeout=120)
            except grpc.RpcError:
                return
            with lock:
                answered.append(time.monotonic())

    with server.stub() as stub:
        callers = [threading.Thread(target=call, args=(stub,)) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of load (60)")
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("options", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as stubs:
        messages.generate(stubs)
        server = Server(["--model", f"model={arguments.checkpoint}", *arguments.options])
        print(f"{arguments.checkpoint.name}: {mebibytes(server.process, 'VmRSS'):.0f} MiB at the start", flush=True)
        answered = []
        load = threading.Thread(target=call_until_it_ends, args=(server, answered))
        begin = time.monotonic()
        load.start()
        for _ in range(4):
            load.join(arguments.seconds / 4)
            rate = len(answered) / (time.monotonic() - begin)
            print(f"  {rate:.2f} images/s, highest {mebibytes(server.process, 'VmHWM'):.0f} MiB", flush=True)
        server.process.kill()
        load.join()


if __name__ == "__main__":
    main()
