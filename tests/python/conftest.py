"""The Python client as it is installed: its wheel, built once, unless the environment has it already."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import pytest
from tome_server import ROOT


def build_wheel(folder):
    # A copy, so that the build leaves nothing in the source tree, and without what another left there.
    shutil.copytree(ROOT / "client/python", folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        + ["--no-build-isolation", "--wheel-dir", folder, folder / "source"],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def pytest_configure(config):
    """Before the tests are imported, which import the client."""
    if importlib.util.find_spec("tome_client") is not None:
        return
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    with zipfile.ZipFile(build_wheel(pathlib.Path(folder.name))) as wheel:
        wheel.extractall(f"{folder.name}/site")
    sys.path.insert(0, f"{folder.name}/site")


@pytest.fixture(scope="session", autouse=True)
def stubs():
    """The client has messages of its own: those that the other tests generate are not needed."""


@pytest.fixture
def fake_server():
    """fake_server(script) -> FakeServer, stopped at the end."""
    from fake_embedding_server import FakeServer

    started = []

    def start(script):
        started.append(FakeServer(script))
        return started[-1]

    yield start
    for server in started:
        server.stop()
