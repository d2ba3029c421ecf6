"""The default model: its recipe on a few made-up pictures, and what is said of the one that is committed."""

import csv
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tome_server import ROOT

RECIPE = ROOT / "deploy/default_model"


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its worker processes look for it
    spec.loader.exec_module(module)
    return module


def drawing(seed):
    """Coarse shapes, so that it hashes like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((300, 260), Image.Resampling.NEAREST)


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """120 drawings in two categories; the first is there again, as it is and slightly brighter."""
    root = tmp_path_factory.mktemp("package")
    for seed in range(120):
        save(drawing(seed), root / ("birds" if seed % 2 else "tools/hammers") / f"{seed:03}.png")
    save(drawing(0), root / "birds/twin.png")
    save(drawing(0).point(lambda level: min(level + 3, 255)), root / "birds/brighter.png")
    clear = drawing(121).convert("RGBA")
    clear.putalpha(0)
    save(clear, root / "birds/clear.png")
    return root


@pytest.fixture(scope="module")
def prepared(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    load("prepare").prepare(pictures, folder)
    return folder


def find(prepared, name):
    (path,) = [prepared / side / name for side in ("train", "held_out") if (prepared / side / name).exists()]
    return path


def test_each_picture_is_on_one_side_and_near_duplicates_together(prepared, pictures, tmp_path):
    with open(prepared / "split.csv", newline="") as file:
        rows = {row["picture"]: row for row in csv.DictReader(file)}

    assert len(rows) == 123
    sides = {side: len(list((prepared / side).rglob("*.png"))) for side in ("train", "held_out")}
    assert sum(sides.values()) == 123 and min(sides.values()) > 10, sides
    alike = [rows[name] for name in ("tools/hammers/000.png", "birds/twin.png", "birds/brighter.png")]
    assert len({row["side"] for row in alike}) == len({row["group"] for row in alike}) == 1
    assert len({row["group"] for row in rows.values()}) == 121
    load("prepare").prepare(pictures, tmp_path)
    assert (tmp_path / "split.csv").read_text() == (prepared / "split.csv").read_text()


def test_pictures_are_small_and_on_white(prepared):
    for path in prepared.rglob("train/*/*.png"):
        with Image.open(path) as image:
            assert image.mode == "RGB" and max(image.size) <= 224, path
    assert np.asarray(Image.open(find(prepared, "birds/clear.png"))).min() == 255
    assert find(prepared, "tools/hammers__000.png"), "folders below a category go into the name"


def test_a_picture_that_is_there_twice_is_asked_about_once_and_is_of_both_categories(prepared, tmp_path):
    side = find(prepared, "birds/twin.png").parents[1]

    categories = load("evaluate").distinct(side, tmp_path)

    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert len(kept) == len(categories) == len(list(side.rglob("*.png"))) - 1
    assert categories[kept.index("birds/twin.png")] == {"birds", "tools"}
    assert "tools/hammers__000.png" not in kept


def test_the_recipe_trains_in_three_goes_and_leaves_what_is_trained(prepared, tmp_path):
    train = tmp_path / "pictures"
    train.mkdir()
    # A batch is of 96: both sides, for once.
    for side in ("train", "held_out"):
        (train / side).symlink_to(prepared / side)
    recipe = [RECIPE / "train.sh", tmp_path, tmp_path / "model", "--threads", "2"]
    (tmp_path / "train").symlink_to(train)
    environment = os.environ | {"STEPS": "2 1 3", "R": "16"}

    one_go = subprocess.run(recipe, capture_output=True, text=True, timeout=300, env=environment | {"STEPS": "2 0 0"})
    assert one_go.returncode == 0 and not (tmp_path / "model/model.safetensors").exists(), one_go.stderr
    first = subprocess.run(recipe, capture_output=True, text=True, timeout=300, env=environment)
    weights = (tmp_path / "model/model.safetensors").read_bytes()
    again = subprocess.run(recipe, capture_output=True, text=True, timeout=300, env=environment)

    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert again.stdout.count("holds the trained checkpoint already") == 3
    assert (tmp_path / "model/model.safetensors").read_bytes() == weights
    for go, steps in (("model/first", 2), ("model/second", 1), ("model", 3)):
        assert len((tmp_path / go / "curves.csv").read_text().splitlines()) == 1 + steps


def test_the_committed_model_keeps_what_the_readme_says_of_half_the_flops():
    profile = json.loads((RECIPE / "clipart/profile.json").read_text())
    half = next(step for step in profile["steps"] if step["flop_ratio"] >= 2)

    assert half["fidelity"] >= 0.97, half
    assert half["recall_at_10"] >= 0.85, half
    assert (RECIPE / "clipart/model.safetensors").stat().st_size <= 12_000_000
