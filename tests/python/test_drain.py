"""Two servers behind one name: each is drained and started again in turn, and no client loses a call."""

import json
import os
import subprocess
import threading

import tome_client
from tome_server import BINARIES, Server

DRAINS = 12


class Load:
    """Calls without pause until it is told to stop, counting those that succeed; the first failure ends it."""

    def __init__(self, one_turn):
        self.calls = 0
        self.failure = None
        self._one_turn = one_turn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                self.calls += self._one_turn()
        except Exception as failure:  # whatever it is, the test shows it
            self.failure = failure

    def stop(self):
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()


def run_tome(target, *arguments):
    ran = subprocess.run(
        [BINARIES / "tome", "--json", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env={**os.environ, "TOME_SERVER": target},
    )  # fmt: skip
    assert ran.returncode == 0, (ran.returncode, ran.stdout[-2000:], ran.stderr[-2000:])
    return ran


def test_no_call_of_either_client_is_lost_while_two_servers_are_drained_in_turn(checkpoint, photos, tmp_path):
    picture = tmp_path / "cat.jpg"
    picture.write_bytes(photos["cat.jpg"])
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i}.jpg").symlink_to(picture)

    def start(listen="127.0.0.1:0"):
        # Small batches: the less there is to warm up, the sooner it is back.
        arguments = ["--model", f"plain={checkpoint}", "--drain-delay", "300ms", "--max-batch-images", "2"]
        return Server(arguments, listen)

    servers = [start(), start()]
    target = "ipv4:" + ",".join(server.address for server in servers)
    client = tome_client.Client(target)

    def python_calls():
        client.embed(photos["cat.jpg"], r=4, timeout=60)
        return 1

    def python_stream():
        outcomes = [outcome for _, outcome in client.embed_stream([photos["cat.jpg"]] * 40, r=4, timeout=60, window=4)]
        assert all(isinstance(outcome, tome_client.Embedding) for outcome in outcomes), outcomes
        return len(outcomes)

    def cpp_calls():
        run_tome(target, "compare", picture, "--r", "4", "--repeat", "50", "--timeout", "60s")
        return 100

    def cpp_stream():
        ran = run_tome(target, "embed", folder, "--r", "4", "--out", tmp_path / "out.npy", "--timeout", "60s")
        assert json.loads(ran.stdout)["embedded"] == 40
        return 40

    loads = {turn.__name__: Load(turn) for turn in (python_calls, python_stream, cpp_calls, cpp_stream)}
    try:
        for i in range(DRAINS):
            address = servers[i % 2].address
            servers[i % 2].terminate()
            assert servers[i % 2].wait() == 0
            servers[i % 2] = start(address)
    finally:
        for load in loads.values():
            load.stop()
        client.close()
        for server in servers:
            server.terminate()

    assert [server.wait() for server in servers] == [0, 0]
    assert {name: load.failure for name, load in loads.items()} == dict.fromkeys(loads)
    assert all(load.calls > DRAINS for load in loads.values()), {name: load.calls for name, load in loads.items()}
