"""Grafana's dashboard, asked panel by panel of a real Prometheus that scrapes a server under load."""

import itertools
import json
import math
import re
import shutil
import subprocess

import grpc
import pytest
from manifests import ROOT, dashboard_queries
from prometheus_server import running_prometheus
from tome_server import BINARIES

DASHBOARD = json.loads((ROOT / "deploy/grafana/tome.json").read_text())
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
# As Grafana fills them in where one chooses All.
VALUES = {"job": "tome", "instance": ".*", "model": ".*", "__rate_interval": "1m"}


def filled_in(promql):
    return re.sub(r"\$(\w+)", lambda match: VALUES[match.group(1)], promql)


def panels():
    return [panel for row in DASHBOARD["panels"] for panel in (row, *row.get("panels", []))]


@pytest.fixture(scope="module")
def server(start_server, checkpoint, tmp_path_factory):
    """A server of a calibrated model."""
    model = shutil.copytree(checkpoint, tmp_path_factory.mktemp("calibrated") / "model")
    arguments = ("--model", f"m={model}", "--drain-delay", "0s")
    tome = [BINARIES / "tome", "--server", start_server(*arguments).address]
    measure = ["calibrate", "--images", ROOT / "deploy/photos", "--r", "2,4", "--out", model / "profile.json"]
    subprocess.run([*tome, *measure], check=True, timeout=120)
    return start_server(*arguments)


@pytest.fixture(scope="module")
def prometheus(server, photos, tmp_path_factory):
    """Prometheus, once it has seen calls of every fate on their way."""
    from tome.v1 import embedding_pb2 as pb

    good = [
        pb.EmbedRequest(input=pb.Input(encoded=photo), merge=pb.MergeSpec(constant=r))
        for photo in photos.values()
        for r in (0, 2, 4)
    ]
    bad = pb.EmbedRequest(input=pb.Input(encoded=b"not a picture"))
    turns = itertools.cycle(good)

    with server.stub() as stub, running_prometheus(
        tmp_path_factory.mktemp("prometheus"), [server.metrics_address]
    ) as prometheus:

        def work():
            calls = [stub.Embed.future(request, timeout=60) for request in (next(turns), next(turns), next(turns), bad)]
            assert [call.code() for call in calls[:3]] == [grpc.StatusCode.OK] * 3

        # A rate needs two scrapes, with work between them.
        prometheus.await_query('up{job="tome"} == 1')
        prometheus.await_query('rate(tome_requests_total{method="Embed",code="OK"}[1m]) > 0', meanwhile=work)
        prometheus.await_query('rate(tome_batch_images_count[1m]) > 0', meanwhile=work)
        yield prometheus


@pytest.mark.parametrize(("panel", "promql"), dashboard_queries(DASHBOARD))
def test_no_panel_is_empty(server, prometheus, panel, promql):
    if "tome_gpu_" in promql and "tome_gpu_" not in server.metrics_text():
        pytest.skip("this server computes on no GPU")
    result = prometheus.query(filled_in(promql))

    values = [float(series["value"][1]) for series in result]
    assert any(math.isfinite(value) for value in values), f"{panel}: {filled_in(promql)} gave {result}"


@pytest.mark.parametrize("name", [name for name, variable in VARIABLES.items() if variable["type"] == "query"])
def test_every_variable_offers_a_choice(prometheus, name):
    series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["query"]["query"]).groups()

    result = prometheus.query(filled_in(series))

    assert {one["metric"][label] for one in result}


def test_panels_have_ids_of_their_own_and_the_chosen_data_source():
    ids = [panel["id"] for panel in panels()]

    assert len(set(ids)) == len(ids)
    for panel in panels():
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_cover_each_other():
    taken = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell[0] < 24 and cell not in taken, f"{panel['title']} and {taken.get(cell)} both take {cell}"
            taken[cell] = panel["title"]
