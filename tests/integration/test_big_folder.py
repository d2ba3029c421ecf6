"""tome embed over a folder of any size: memory does not grow with it."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from tome_server import BINARIES

# Long, so that names that were kept would show.
NAME = "a picture whose name is long " + "and longer " * 15
FILES_A_FOLDER = 100
MEBI = 1 << 20

# The program's peak alone: what a child inherits counts, so that its parent must be small.
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
sys.exit(code)
"""


@pytest.fixture
def fast_server(start_server, checkpoint, tmp_path):
    """A server of one block for pictures that are one patch, so that the client has most of the time."""
    import json

    import safetensors.numpy

    tiny = tmp_path / "tiny"
    tiny.mkdir()
    config = json.loads((checkpoint / "config.json").read_text())
    config["model_args"] |= {"depth": 1, "img_size": [32, 32]}
    config["pretrained_cfg"]["input_size"] = [3, 32, 32]
    weights = safetensors.numpy.load_file(checkpoint / "model.safetensors")
    weights["pos_embed"] = weights["pos_embed"][:, :5].copy()
    kept = {name: value for name, value in weights.items() if not name.startswith("blocks.") or ".0." in name}
    safetensors.numpy.save_file(kept, tiny / "model.safetensors")
    (tiny / "config.json").write_text(json.dumps(config))
    return start_server("--model", f"tiny={tiny}", "--drain-delay", "0s")


def make_folder(folder, files):
    """Hard links of one picture, a hundred a subfolder."""
    folder.mkdir()
    picture = folder / "0.png"
    Image.new("RGB", (8, 8), "teal").save(picture)
    for i in range(1, files):
        if i % FILES_A_FOLDER == 1:
            subfolder = folder / f"{i // FILES_A_FOLDER:04}"
            subfolder.mkdir()
        os.link(picture, subfolder / f"{NAME}{i:06}.png")


def peak_bytes(server, folder, out, *arguments):
    command = [BINARIES / "tome", "--server", server.address, "embed", folder, "--recursive", "--out", out, *arguments]
    ran = subprocess.run([sys.executable, "-S", "-c", PEAK, *command], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


def test_memory_does_not_grow_with_the_folder(fast_server, tmp_path):
    peaks = {}
    for files in (1_000, 10_000):
        make_folder(tmp_path / str(files), files)
        out = tmp_path / f"{files}.npy"
        peaks[files] = peak_bytes(fast_server, tmp_path / str(files), out)
        assert len((tmp_path / f"{files}.npy.paths.txt").read_text().splitlines()) == files

    assert peaks[10_000] - peaks[1_000] < 2 * MEBI, peaks
