"""A real Prometheus that scrapes given addresses each second."""

import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request


class Prometheus:
    def __init__(self, address):
        self.address = address

    def query(self, promql):
        """The result of an instant query: [{"metric": labels, "value": [time, text]}, ...]."""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": promql})
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def await_query(self, promql, meanwhile=lambda: None):
        """As `query`, once there is a result; Prometheus needs a scrape first. Calls `meanwhile` before each try."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            meanwhile()
            if result := self.query(promql):
                return result
        raise AssertionError(f"Prometheus never had a result for {promql}")


@contextlib.contextmanager
def running_prometheus(folder, targets):
    """Scrapes `targets` as the job tome; keeps its files in `folder`."""
    config = folder / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                "scrape_configs": [{"job_name": "tome", "static_configs": [{"targets": targets}]}],
            }
        )
    )
    process = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        + ["--web.listen-address=127.0.0.1:0", "--log.level=info"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Prometheus(ready_address(process))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def ready_address(process):
    """Where it listens, once it answers queries."""
    address, ready = None, False
    for line in process.stderr:
        # It says both at once, in either order.
        if "Listening on" in line and "address=" in line:
            address = line.split("address=")[1].split()[0]
        ready |= "Server is ready to receive web requests" in line
        if address and ready:
            return address
    raise AssertionError("Prometheus ended before it was ready")
