"""Every example in the documents that is marked `run` works as it stands, but for the server's address; the others are known."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from tome_server import BINARIES, ROOT

READMES = ["README.md", "client/README.md", "client/python/README.md"]
OTHERS = ["CONTRIBUTING.md", "deploy/README.md", "deploy/default_model/README.md", "k8s/README.md"]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is not run here, by how it begins, and why.
NOT_RUN = {
    " photograph, r": "a drawing",
    "file                          r": "output, of the quickstart",
    "deploy/quickstart.sh": "tests/integration/test_quickstart.py",
    "tests/run.sh": "is what runs this",
    "pip install huggingface_hub": "needs a network; tests/parity serves folders of this kind",
    "import timm": "needs a network; tests/parity saves models this way, without the trained weights",
    "build/release/bin/tome-server --model vit-s16=vit-s16 --device cuda": "needs a GPU; tests/integration/test_cuda.py",
    "cmake --build --preset release --target tome-lab": "trains for long; tests/integration/test_lab.py does not",
    "build/release/bin/tome-lab ablate": "needs a trained checkpoint to say anything; tests/integration/test_lab.py",
    "build/release/bin/tome evaluate": "needs a folder with labels; tests/integration/test_measuring.py",
    "cmake --preset release": "test_an_example_runs installs the library this way, into another prefix",
    "find_package(tome": "is part of tests/package",
    "pip install ./client/python": "conftest.py builds the same wheel",
    "docker build --file deploy/Dockerfile": "tests/container.sh builds both images",
    "docker run --rm": "tests/container.sh runs them",
    "promtool check rules": "tests/deploy/test_rules.py",
    '{"time":': "output, of the log",
    "deploy/setup.sh --cuda": "what somebody who works here may do; tests/run.sh does the same",
    "buf build proto": "is for a release",
    "deploy/setup.sh && cmake": "trains for hours; tests/deploy/test_default_model.py takes the recipe's parts",
    "kubectl apply -k": "needs a cluster; tests/apiserver puts each overlay to a real kube-apiserver",
    "kubectl kustomize": "tests/k8s renders each overlay",
    "labels:": "part of a kustomization",
    "FROM busybox": "needs a registry",
    "deploy/random_checkpoint.py": "needs a cluster of containers; tests/container.sh has the image, tests/apiserver the overlay",
}
ADDRESS = "127.0.0.1:50051"


def blocks(documents):
    for readme in documents:
        text = (ROOT / readme).read_text()
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(found[1], found[2], id=f"{readme}:{line}")


def examples():
    for block in blocks(READMES):
        language, code = block.values
        if language.endswith(" run"):
            yield pytest.param(language.removesuffix(" run"), code, id=block.id)


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


@pytest.mark.parametrize(("language", "code"), list(examples()))
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
    marked = {pathlib.Path(block.id.rsplit(":", 1)[0]) for block in examples()}

    assert marked == set(map(pathlib.Path, READMES))


def test_what_is_not_run_is_known_and_why():
    others = [block.values[1] for block in blocks(READMES + OTHERS) if not block.values[0].endswith(" run")]

    unknown = [code for code in others if not code.startswith(tuple(NOT_RUN))]
    gone = [begin for begin in NOT_RUN if not any(code.startswith(begin) for code in others)]
    assert (unknown, gone) == ([], [])


def test_the_project_that_uses_the_library_says_what_the_readme_says():
    (lines,) = [block.values[1] for block in blocks(READMES) if block.values[0] == "cmake"]

    project = (ROOT / "tests/package/CMakeLists.txt").read_text().splitlines()
    assert [line for line in lines.splitlines() if line not in project] == []
