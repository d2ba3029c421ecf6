"""Every example in the READMEs that is marked `run` works: as it stands, but for the server's address."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from tome_server import BINARIES, ROOT

READMES = ["README.md", "client/README.md", "client/python/README.md"]
BLOCK = re.compile(r"^```(\w+) run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:50051"


def blocks():
    for readme in READMES:
        text = (ROOT / readme).read_text()
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(found[1], found[2], id=f"{readme}:{line}")


@pytest.fixture
def folder(tmp_path):
    """What the examples find around them."""
    (tmp_path / "build").symlink_to(ROOT / "build")
    (tmp_path / "client").symlink_to(ROOT / "client")
    shutil.copytree(ROOT / "deploy/photos", tmp_path / "photos")
    (tmp_path / "photos/README.md").unlink()
    shutil.copy(tmp_path / "photos/cat.jpg", tmp_path)
    return tmp_path


def run(command, folder, address, **environment):
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=240,
        env={**os.environ, "TOME_SERVER": address, "PATH": f"{BINARIES}:{os.environ['PATH']}", **environment},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(("language", "code"), list(blocks()))
def test_an_example_runs(server, folder, language, code):
    code = code.replace(ADDRESS, server.address)
    if language == "python":
        printed = run([sys.executable, "-c", code], folder, server.address, PYTHONPATH=":".join(sys.path))
    elif language == "sh":
        printed = run(["bash", "-euo", "pipefail", "-c", code], folder, server.address)
    else:
        assert language == "cpp", language
        printed = run_cpp(code, folder, server.address)

    assert printed.strip()


def run_cpp(code, folder, address):
    """As a user of the installed library builds it."""
    prefix, project = folder / "prefix", folder / "project"
    shutil.copytree(ROOT / "tests/package", project)
    (project / "main.cc").write_text(code)
    install = ["cmake", "--install", ROOT / "build/release", "--component", "client", "--prefix", prefix]
    run(install, folder, address)
    run(["cmake", "-G", "Ninja", "-S", project, "-B", folder / "out", f"-DCMAKE_PREFIX_PATH={prefix}"], folder, address)
    run(["cmake", "--build", folder / "out"], folder, address)
    assert not list(prefix.rglob("bin/*"))
    return run([folder / "out/example"], folder, address)


def test_every_readme_has_examples():
    marked = {pathlib.Path(block.id.rsplit(":", 1)[0]) for block in blocks()}

    assert marked == set(map(pathlib.Path, READMES))
