"""The real Prometheus scrapes a server that has worked; promtool finds nothing to say about what it reads."""

import json
import subprocess
import urllib.parse
import urllib.request

import pytest


@pytest.fixture
def busy_server(server, photos):
    from tome.v1 import embedding_pb2 as pb

    with server.stub() as stub:
        for r in (0, 4, 8):
            stub.Embed(
                pb.EmbedRequest(input=pb.Input(encoded=photos["cat.jpg"]), merge=pb.MergeSpec(constant=r)), timeout=60
            )
    return server


def test_promtool_has_nothing_to_say(busy_server):
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=busy_server.metrics_text(), capture_output=True, text=True, timeout=60
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_prometheus_scrapes_the_server(busy_server, tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                "scrape_configs": [
                    {"job_name": "tome", "static_configs": [{"targets": [busy_server.metrics_address]}]}
                ],
            }
        )
    )
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
        + ["--web.listen-address=127.0.0.1:0", "--log.level=info"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = listening_address(prometheus)
        scraped = await_query(address, 'tome_requests_total{method="Embed",code="OK"}')
        merged = await_query(address, 'tome_tokens_total{state="merged"}')
        up = await_query(address, 'up{job="tome"} == 1')
    finally:
        prometheus.terminate()
        prometheus.communicate(timeout=60)

    assert up
    assert float(scraped[0]["value"][1]) >= 3
    assert float(merged[0]["value"][1]) > 0


def listening_address(prometheus):
    for line in prometheus.stderr:
        if "Listening on" in line and "address=" in line:
            return line.split("address=")[1].split()[0]
    raise AssertionError("Prometheus ended before it listened")


def await_query(address, query):
    """The result of an instant query once there is one; Prometheus needs a scrape first."""
    url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    for _ in range(2000):
        with urllib.request.urlopen(url, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        if result:
            return result
    raise AssertionError(f"Prometheus never had a result for {query}")
