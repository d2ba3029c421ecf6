#!/usr/bin/env python3
"""What a model's embeddings are worth on pictures it has not seen, against raw pixels and colours.

    evaluate.py PREPARED --server HOST:PORT [--model NAME] [--r 0,4,8]

PREPARED is what prepare.py wrote. The package has many a picture twice, under two names or in two categories; no
description of pixels can tell those apart. So each is asked about once, and is of each category that has it. Printed, for
two simple baselines and for each r of the served model:

    category   held-out pictures whose nearest neighbour (cosine) among the train pictures shares a category, percent
    instance   cropped, turned and recoloured copies of held-out pictures whose nearest neighbour among the held-out
               pictures is the original, percent
"""

import argparse
import collections
import hashlib
import pathlib
import random
import shutil
import subprocess
import tempfile

import numpy
from PIL import Image, ImageEnhance

ROOT = pathlib.Path(__file__).resolve().parents[2]
THUMBNAIL = 12
BINS = 8  # a channel
SEED = 20230501


def rows(path):
    return sorted(path.rglob("*.png"))


def altered(path):
    """A copy as somebody might pass it on: 50 to 90 percent of its area, turned by up to 15 degrees, other colours."""
    chance = random.Random(f"{SEED}{path.name}")
    with Image.open(path) as image:
        copy = image.convert("RGB")
    copy = copy.rotate(chance.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor="white")
    width, height = copy.size
    side = chance.uniform(0.5, 0.9) ** 0.5
    left, top = chance.uniform(0, 1 - side) * width, chance.uniform(0, 1 - side) * height
    copy = copy.crop((round(left), round(top), round(left + side * width), round(top + side * height)))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        copy = enhance(copy).enhance(chance.uniform(0.6, 1.4))
    hue, saturation, value = copy.convert("HSV").split()
    turn = chance.randint(-20, 20)  # of 256
    hue = hue.point(lambda level: (level + turn) % 256)
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def pixels(path):
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB"))


def thumbnail(path):
    small = Image.fromarray(pixels(path)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    values = numpy.asarray(small, numpy.float32).reshape(-1)
    return values - values.mean()


def colours(path):
    bins = pixels(path).reshape(-1, 3).astype(numpy.int64) * BINS // 256
    counts = numpy.bincount(bins @ [BINS * BINS, BINS, 1], minlength=BINS**3)
    return numpy.sqrt(counts / counts.sum()).astype(numpy.float32)


def unit(vectors):
    length = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / numpy.where(length == 0, 1, length)


class Served:
    """Embeddings by the command line of a running server."""

    def __init__(self, arguments, r):
        self.command = [ROOT / "build/release/bin/tome", "--server", arguments.server, "embed", "--recursive"]
        self.command += ["--r", str(r)] + (["--model", arguments.model] if arguments.model else [])

    def __call__(self, folder):
        with tempfile.TemporaryDirectory() as scratch:
            out = pathlib.Path(scratch) / "vectors.npy"
            subprocess.run([*self.command, "--out", out, folder], check=True, stderr=subprocess.DEVNULL)
            paths = (out.parent / "vectors.npy.paths.txt").read_text().splitlines()
            order = numpy.argsort(paths)
            assert [paths[row] for row in order] == [str(path) for path in rows(folder)]
            return unit(numpy.load(out)[order])


def by_pixels(describe):
    return lambda folder: unit(numpy.stack([describe(path) for path in rows(folder)]))


def distinct(folder, target):
    """Copies each picture once to `target`, under the first of its names; the categories of each, in the order of rows()."""
    names = {}
    categories = collections.defaultdict(set)
    for path in rows(folder):
        values = pixels(path)
        content = (values.shape, hashlib.sha256(values.tobytes()).digest())
        name = path.relative_to(folder)
        categories[names.setdefault(content, name)].add(name.parts[0])
    for name in names.values():
        (target / name.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)
    return [categories[path.relative_to(target)] for path in rows(target)]


def write_copies(pictures, target):
    for path in rows(pictures):
        copy = target / path.relative_to(pictures)
        copy.parent.mkdir(parents=True, exist_ok=True)
        altered(path).save(copy)


def share(hits):
    return 100 * numpy.mean(hits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=pathlib.Path)
    parser.add_argument("--server")
    parser.add_argument("--model", default="")
    parser.add_argument("--r", default="0,4,8")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        train, held_out, copies = (pathlib.Path(scratch) / name for name in ("train", "held_out", "copies"))
        known = distinct(arguments.prepared / "train", train)
        true = distinct(arguments.prepared / "held_out", held_out)
        write_copies(held_out, copies)
        named = [("12 x 12 pixels", by_pixels(thumbnail)), ("colour histogram", by_pixels(colours))]
        if arguments.server:
            named += [(f"r = {r}", Served(arguments, r)) for r in arguments.r.split(",")]
        print(f"{len(known)} train and {len(true)} held-out pictures, each counted once")
        print(f"{'':20}{'category':>10}{'instance':>10}")
        for name, embed in named:
            queries = embed(held_out)
            nearest = (queries @ embed(train).T).argmax(1)
            found = (embed(copies) @ queries.T).argmax(1)
            of_a_category = share([bool(categories & known[row]) for categories, row in zip(true, nearest)])
            print(f"{name:20}{of_a_category:10.1f}{share(found == numpy.arange(len(found))):10.1f}", flush=True)


if __name__ == "__main__":
    main()
