"""The real Prometheus scrapes a server that has worked; promtool finds nothing to say about what it reads."""

import subprocess

import pytest
from prometheus_server import running_prometheus


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
    with running_prometheus(tmp_path, [busy_server.metrics_address]) as prometheus:
        scraped = prometheus.await_query('tome_requests_total{method="Embed",code="OK"}')
        merged = prometheus.await_query('tome_tokens_total{state="merged"}')
        up = prometheus.await_query('up{job="tome"} == 1')

    assert up
    assert float(scraped[0]["value"][1]) >= 3
    assert float(merged[0]["value"][1]) > 0
