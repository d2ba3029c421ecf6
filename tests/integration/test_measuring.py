"""tome evaluate, calibrate and map against a real server, and the profile on its way back into it."""

import json
import shutil
import subprocess

import pytest
from PIL import Image
from tome_server import BINARIES, ROOT

TOME = BINARIES / "tome"


def run(*arguments, expect=0):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.fixture
def served(checkpoint, tmp_path):
    """A copy of the checkpoint, beside which a profile may lie."""
    return shutil.copytree(checkpoint, tmp_path / "model")


@pytest.fixture
def pictures(tmp_path):
    """The photographs in two folders."""
    for number, path in enumerate(sorted((ROOT / "deploy/photos").glob("*.[jp][pn]g"))):
        folder = tmp_path / "pictures" / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    return tmp_path / "pictures"


def test_evaluate_calibrate_and_map_measure_a_served_model(start_server, served, pictures, tmp_path):
    address = start_server("--model", f"m={served}", "--drain-delay", "0s").address
    tome = [TOME, "--server", address]

    report = json.loads(run(*tome, "--json", "evaluate", "--images", pictures, "--labels", "folders", "--r", "3,6").stdout)
    run(*tome, "map", next(pictures.rglob("cat.jpg")), "--r", "6", "--out", tmp_path / "map.png")
    run(*tome, "calibrate", "--model", served, "--images", pictures, "--r", "3,6")  # beside the checkpoint

    assert [rung["schedule"] for rung in report["rungs"]] == ["r = 0", "r = 3", "r = 6"]
    assert report["rungs"][0]["cosine_mean"] == pytest.approx(1)
    assert report["rungs"][2]["flop_ratio"] > report["rungs"][1]["flop_ratio"] > 1
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.size == (480, 480)

    # The server that starts beside the profile tells it, with the model and with each embedding.
    again = start_server("--model", f"m={served}", "--drain-delay", "0s")
    profile = json.loads(run(TOME, "--server", again.address, "--json", "models", "m").stdout)["model"]["profile"]
    assert (profile["images"], [step["r"] for step in profile["steps"]]) == (report["pictures"], [0, 3, 6])
    assert profile["steps"][1]["fidelity"] == pytest.approx(report["rungs"][1]["cosine_mean"], abs=1e-6)
    from tome.v1 import embedding_pb2 as pb

    with again.stub() as stub:
        image = pb.Input(encoded=(ROOT / "deploy/photos/cat.jpg").read_bytes())
        answer = stub.Embed(pb.EmbedRequest(input=image, merge=pb.MergeSpec(constant=3)), timeout=60)
    assert answer.embedding.applied.expected_fidelity == pytest.approx(profile["steps"][1]["fidelity"])
    assert again.metrics()['tome_expected_fidelity_sum{model="m"}'] == answer.embedding.applied.expected_fidelity


def test_weights_that_are_served_under_two_names_must_be_named(start_server, served, pictures):
    address = start_server("--model", f"a={served}", "--model", f"b={served}", "--drain-delay", "0s").address

    done = run(TOME, "--server", address, "evaluate", "--model", served, "--images", pictures, expect=1)

    assert f"INVALID_ARGUMENT: --model: the server holds the weights in {served} as a and b; name one" in done.stderr


def test_a_profile_of_other_weights_is_refused_with_the_reason(served):
    profile = {"weights_digest": "ab12", "images": 3, "date": "2026-01-02", "steps": [{"r": 0}]}
    (served / "profile.json").write_text(json.dumps(profile))

    listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    done = run(BINARIES / "tome-server", "--model", f"m={served}", *listen, expect=1)

    assert "profile.json: weights_digest: " in done.stderr and "calibrate again, or take the file away" in done.stderr
