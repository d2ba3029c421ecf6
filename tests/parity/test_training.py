"""A checkpoint of any family is tuned by tome-lab; what comes out is what timm, transformers and the server all read."""

import subprocess

import checkpoints
import numpy as np
import pytest
import torch
from checkpoints import TIMM
from safetensors.torch import load_file
from test_families import embed, model_pixels
from tome_server import BINARIES, ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("start")
    return {name: checkpoints.write(name, root / name) for name in checkpoints.NAMES}


@pytest.fixture(scope="module")
def tuned(written, tmp_path_factory):
    """The folder of each name's tuned checkpoint."""
    root = tmp_path_factory.mktemp("tuned")
    for name, checkpoint in written.items():
        done = subprocess.run(
            [BINARIES / "tome-lab", "train", "--from", checkpoint.directory, "--images", ROOT / "deploy/photos"]
            + ["--out", root / name, "--distillation", "1", "--contrastive", "1", "--r", "3", "--batch", "4"]
            + ["--steps", "2", "--warm-up", "1", "--threads", "2"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr}"
    return root


@pytest.fixture(scope="module")
def server(start_server, tuned):
    models = [f"--model={name}={tuned / name}" for name in checkpoints.NAMES]
    return start_server(*models, "--dtype", "float32", "--drain-delay", "0s")


def load_by_the_library(name, model, folder):
    if name not in TIMM:
        return type(model).from_pretrained(folder, dtype=torch.float32).state_dict()
    import timm

    architecture, options, *resized = TIMM[name]
    loaded = timm.create_model(architecture, **options)
    loaded.load_state_dict(load_file(folder / "model.safetensors"))
    if resized:
        loaded.set_input_size(img_size=(resized[0], resized[0]))
    return loaded.state_dict()


@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_a_tuned_checkpoint_is_served_and_read_by_its_library(written, tuned, server, name):
    checkpoint = written[name]
    pixels = checkpoints.picture_pixels(checkpoint.side)
    before = checkpoint.embeddings(checkpoint.normalise(pixels))

    checkpoint.model.load_state_dict(load_by_the_library(name, checkpoint.model, tuned / name))
    theirs = checkpoint.embeddings(checkpoint.normalise(pixels))
    ours = embed(server, name, model_pixels(pixels))

    assert np.abs(theirs - before).max() > 1e-3, "nothing was learnt"
    assert np.abs(ours - theirs).max() <= 1e-4
