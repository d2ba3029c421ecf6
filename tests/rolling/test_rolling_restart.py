"""Three servers behind one DNS name, drained and replaced one after the other, and one killed, while clients call.

tests/rolling/run.sh lays the network and starts this.
"""

import collections
import json
import subprocess
import threading
import time

import grpc
import pytest
from tome_server import BINARIES, Server

NAME = "tome.test:50051"
NUMBERS = (1, 2, 3)
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "tome.v1.EmbeddingService"},
}
# Longer than gRPC's health watch takes to say NOT_SERVING.
DRAIN_DELAY = "2s"


def start(checkpoint, number):
    return Server(
        ["--model", f"plain={checkpoint}", "--drain-delay", DRAIN_DELAY],
        listen=f"10.77.0.1{number}:50051",
        metrics_listen=f"10.77.0.1{number}:9464",
        within=["ip", "netns", "exec", f"server{number}"],
    )


class Load:
    """Threads that call until they are told to stop, each attempt counted by its status."""

    def __init__(self, one_call, threads):
        self.ended = collections.Counter()
        self._one_call = one_call
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            code = self._one_call()
            with self._lock:
                self.ended[code] += 1

    def await_more(self, count):
        """Returns when `count` more calls have ended OK."""
        target = self.ended["OK"] + count
        deadline = time.monotonic() + 60
        while self.ended["OK"] < target:
            assert time.monotonic() < deadline, self.ended
            self._stop.wait(0.01)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        return dict(self.ended)


@pytest.fixture
def servers(checkpoint):
    running = {number: start(checkpoint, number) for number in NUMBERS}
    yield running
    for server in running.values():
        server.terminate()
    assert [server.wait() for server in running.values()] == [0] * len(NUMBERS)


@pytest.fixture
def python_load(servers, photos):
    from tome.v1 import embedding_pb2 as pb
    from tome.v1 import embedding_pb2_grpc

    request = pb.EmbedRequest(input=pb.Input(encoded=photos["cat.jpg"]), merge=pb.MergeSpec(constant=2))
    options = [("grpc.service_config", json.dumps(SERVICE_CONFIG)), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(f"dns:///{NAME}", options=options) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)

        def one_call():
            try:
                stub.Embed(request, timeout=60)
                return "OK"
            except grpc.RpcError as error:
                return error.code().name

        load = Load(one_call, threads=4)
        load.await_more(20)
        yield load
        load.stop()


@pytest.fixture
def cpp_load(servers, photos, tmp_path):
    """The C++ library through its command line, with its own retries, a process and connections of its own each time."""
    from manifests import ROOT

    def one_call():
        embedded = subprocess.run(
            [BINARIES / "tome", "--server", NAME, "embed", ROOT / "deploy/photos", "--out", tmp_path / "vectors.npy"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return "OK" if embedded.returncode == 0 else embedded.stderr

    load = Load(one_call, threads=1)
    load.await_more(1)
    yield load
    load.stop()


def calls_of(server):
    return server.metrics()['tome_requests_total{code="OK",method="Embed"}']


def test_a_rolling_restart_fails_no_call(servers, python_load, cpp_load, checkpoint):
    assert all(calls_of(server) > 0 for server in servers.values()), "calls take turns among the servers"

    for number in NUMBERS:
        servers[number].terminate()
        assert servers[number].wait() == 0
        python_load.await_more(20)
        servers[number] = start(checkpoint, number)
        # Clients come back to it before the next one goes.
        deadline = time.monotonic() + 60
        while calls_of(servers[number]) == 0:
            assert time.monotonic() < deadline
        cpp_load.await_more(1)

    assert set(python_load.stop()) == {"OK"}
    assert set(cpp_load.stop()) == {"OK"}


def test_a_killed_server_costs_only_calls_that_may_be_retried(servers, python_load, cpp_load, checkpoint):
    servers[2].process.kill()
    servers[2].wait()
    python_load.await_more(50)
    cpp_load.await_more(2)
    servers[2] = start(checkpoint, 2)

    ended = python_load.stop()
    assert set(ended) <= {"OK", "UNAVAILABLE"}
    # At most what was under way at that moment, a call a thread, and one more for each until the connection is known to be dead.
    assert ended.get("UNAVAILABLE", 0) <= 8
    assert set(cpp_load.stop()) == {"OK"}, "the C++ client retries by itself"
