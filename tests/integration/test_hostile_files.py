"""Hostile files cost an error each: no memory beyond the limits, no crash, and the next picture is served as before."""

import io
import os
import pathlib
import re
import shutil
import subprocess

import grpc
import pytest
from hostile_files import configs, harmed_pictures, pictures, png, weights, zeros
from PIL import Image

from tome_server import BINARIES

MIB = 1 << 20
# Of a picture within the limits: three bytes for each of 50 million pixels, half as much again to read and turn it.
PIXELS_MIB = 3 * 50_000_000 // MIB
# A server that has loaded its libraries and maps a file of 100 MB. The kernel counts for a child what its parent held
# when it was started, here the files that the test makes.
STARTING_MIB = 700


def peak_mib(server):
    """The most memory that the server's process has held so far."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) >> 10


def embed(stub, encoded):
    from tome.v1 import embedding_pb2 as pb

    return stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=encoded)), timeout=60).embedding.vector.data


def error_of(stub, encoded):
    """The error's text, or None for a picture. Whatever is no picture is the caller's fault."""
    try:
        embed(stub, encoded)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()
        return error.details()
    return None


@pytest.fixture(scope="module")
def photo(photos):
    return Image.open(io.BytesIO(photos["cat.jpg"])).convert("RGB")


def test_each_hostile_picture_gets_its_own_error_and_no_memory(start_server, checkpoint, photos, photo):
    server = start_server("--model", checkpoint, "--drain-delay", "0s")
    with server.stub() as stub:
        expected = embed(stub, photos["cat.jpg"])
        before = peak_mib(server)

        for name, (encoded, text) in pictures(photo).items():
            details = error_of(stub, encoded)
            assert details is not None and re.search(text, details), f"{name}: {details}"

        # Far below the pixels that any of them claims.
        assert peak_mib(server) - before < 100
        assert embed(stub, photos["cat.jpg"]) == expected


def test_harmed_pictures_end_in_an_error_or_an_embedding(start_server, checkpoint, photos, photo):
    server = start_server("--model", checkpoint, "--drain-delay", "0s")
    with server.stub() as stub:
        expected = embed(stub, photos["cat.jpg"])

        errors = [error for encoded in harmed_pictures(photo).values() if (error := error_of(stub, encoded)) is not None]

        assert len(errors) > 100
        assert all(errors)
        assert embed(stub, photos["cat.jpg"]) == expected


def test_the_largest_picture_within_the_limits_stays_within_its_memory(start_server, checkpoint, photos):
    server = start_server("--model", checkpoint, "--drain-delay", "0s", "--decode-threads", "1")
    with server.stub() as stub:
        embed(stub, photos["cat.jpg"])
        before = peak_mib(server)

        # 150 MB of pixels in 150 kB.
        error = error_of(stub, png(10_000, 5_000, 2, zeros(5_000 * (3 * 10_000 + 1))))

        assert error is None
        assert peak_mib(server) - before < 1.5 * PIXELS_MIB


def start_and_fail(directory):
    """What the server prints on a checkpoint that it refuses, and the most memory that it held."""
    arguments = ["--model", directory, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    process = subprocess.Popen([BINARIES / "tome-server", *arguments], stderr=subprocess.PIPE, text=True)
    with process.stderr:
        printed = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1, printed
    return printed, usage.ru_maxrss >> 10


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_each_hostile_checkpoint_is_refused_with_its_own_error(checkpoint, tmp_path, file):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    whole = (checkpoint / file).read_bytes()
    cases = weights(whole) if file == "model.safetensors" else configs(whole)
    for name, (content, text) in cases.items():
        (tmp_path / file).write_bytes(content)

        printed, peak = start_and_fail(tmp_path)

        assert re.search("cannot start .*" + text, printed), f"{name}: {printed}"
        assert len(printed) < 2000, name
        assert peak < STARTING_MIB, name
