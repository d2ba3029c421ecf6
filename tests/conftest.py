"""What integration and parity tests share: generated messages, and servers that stop when the tests end."""

import sys

import messages
import pytest
from tome_server import ROOT, Server


@pytest.fixture(scope="session", autouse=True)
def stubs(tmp_path_factory):
    """Generates the Python messages once and puts them on the import path."""
    out = tmp_path_factory.mktemp("stubs")
    messages.generate(out)
    yield
    sys.path.remove(str(out))


@pytest.fixture(scope="session")
def start_server():
    """start_server(*arguments) -> Server. What a test leaves running is stopped, and must stop cleanly."""
    started = []

    def start(*arguments):
        arguments = [str(argument) for argument in arguments]
        # What a test expects shall not depend on the processor.
        if not {"--dtype", "--config"} & set(arguments):
            arguments += ["--dtype", "float32"]
        server = Server(arguments)
        started.append(server)
        return server

    yield start
    running = [server for server in started if server.process.poll() is None]
    for server in running:
        server.terminate()
    codes = [server.wait() for server in running]
    assert codes == [0] * len(codes)


@pytest.fixture(scope="session")
def checkpoint():
    """A timm ViT of 6 blocks, 96 x 96 pixels and 37 tokens, seeded random weights."""
    return ROOT / "tests/model/testdata/plain"


@pytest.fixture(scope="session")
def photos():
    found = sorted((ROOT / "deploy/photos").glob("*.[jp][pn]g"))
    assert len(found) >= 4
    return {path.name: path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def server(start_server, checkpoint):
    """One server for every test that neither stops nor fills it."""
    return start_server("--model", f"plain={checkpoint}", "--drain-delay", "0s")
