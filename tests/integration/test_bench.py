"""`tome bench` against a real server."""

import json
import subprocess

import pytest
from tome_server import BINARIES


def bench(server, *arguments):
    command = [BINARIES / "tome", "--server", server.address, "--json", "bench", "--warm-up", "200ms", "--window", "400ms"]
    ended = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_closed_loop_tells_where_the_time_goes_and_agrees_with_the_servers_own_count(server, photos, tmp_path):
    picture = tmp_path / "temple.jpg"
    picture.write_bytes(photos["temple.jpg"])
    before = server.metrics()

    told = bench(server, picture, "--concurrency", 2, "--r", 2, "--max-duration", "1200ms")

    counted = 'tome_images_total{code="OK",model="plain"}'
    assert 0 < told["embedded"] <= server.metrics()[counted] - before[counted]
    assert told["errors"] == {}
    assert told["images_per_second"] * told["seconds"] == pytest.approx(told["embedded"])
    stages = told["mean_stage_ms"]
    assert all(stages[stage] > 0 for stage in ("decode", "preprocess", "queue", "compute"))
    # No stage is longer than the whole, and what is outside of them is not negative.
    assert sum(stages.values()) < told["latency_ms"]["mean"]
    assert told["outside_decode_preprocess_compute_ms"]["mean"] > stages["queue"]


def test_an_open_loop_over_a_stream_answers_what_was_due(server, photos, tmp_path):
    for name, photo in photos.items():
        (tmp_path / name).write_bytes(photo)

    told = bench(server, tmp_path, "--rate", 20, "--stream", "--r", "0:1,4:1", "--max-duration", "1200ms")

    due = sum(window["embedded"] for window in told["windows"])
    assert told["errors"] == {} and due > 0
    assert told["loop"] == "open" and told["calls"] == "stream" and told["r"] == "0:1,4:1"
