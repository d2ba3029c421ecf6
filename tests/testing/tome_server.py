"""The real server as a process of its own, and a real gRPC client of its API."""

import contextlib
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.request

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = ROOT / "build/release/bin"
SERVING = re.compile(r" serving .*?listen=(\S+) metrics=(\S+)")


class Server:
    """A running tome-server. `log` grows while it runs. `within` is a command that starts it in its place."""

    def __init__(self, arguments, listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", within=()):
        self.process = subprocess.Popen(
            [*within, BINARIES / "tome-server", "--listen", listen, "--metrics-listen", metrics_listen, *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        line = self.await_log(SERVING)
        self.address, self.metrics_address = SERVING.search(line).groups()

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.log.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.log.append(None)
            self._changed.notify_all()

    def await_log(self, pattern, timeout=60):
        """The first line of the log that matches; fails with the log if none comes."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [line for line in self.log if line is not None and re.search(pattern, line)]
                if found:
                    return found[0]
                ended = None in self.log or time.monotonic() >= deadline
                assert not ended, f"no line matches {pattern!r} in\n" + "\n".join(filter(None, self.log))
                self._changed.wait(deadline - time.monotonic())

    def channel(self):
        return grpc.insecure_channel(self.address, options=[("grpc.max_receive_message_length", -1)])

    @contextlib.contextmanager
    def stub(self):
        from tome.v1 import embedding_pb2_grpc

        with self.channel() as channel:
            yield embedding_pb2_grpc.EmbeddingServiceStub(channel)

    def metrics_text(self):
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        """{'name{labels}': value} of everything exposed."""
        lines = (line for line in self.metrics_text().splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=60):
        return self.process.wait(timeout)
