#!/usr/bin/env python3
"""What a model's embeddings are worth on pictures it has not seen, against raw pixels and colours.

    evaluate.py PREPARED --server HOST:PORT [--model NAME] [--r 0,4,8]

PREPARED is what prepare.py wrote. Printed, for two simple baselines and for each r of the served model:

    category   held-out pictures whose nearest neighbour (cosine) among the train pictures is of the same category, percent
    instance   cropped, turned and recoloured copies of held-out pictures whose nearest neighbour among the held-out
               pictures is the original, percent
"""

import argparse
import pathlib
import random
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


def category(path, folder):
    return path.relative_to(folder).parts[0]


def scores(embed, prepared, copies):
    train, held_out = prepared / "train", prepared / "held_out"
    known = numpy.array([category(path, train) for path in rows(train)])
    true = numpy.array([category(path, held_out) for path in rows(held_out)])
    queries = embed(held_out)
    nearest = known[(queries @ embed(train).T).argmax(1)]
    found = (embed(copies) @ queries.T).argmax(1)
    return 100 * (nearest == true).mean(), 100 * (found == numpy.arange(len(found))).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=pathlib.Path)
    parser.add_argument("--server")
    parser.add_argument("--model", default="")
    parser.add_argument("--r", default="0,4,8")
    arguments = parser.parse_args()
    prepared = arguments.prepared.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        copies = pathlib.Path(scratch)
        for path in rows(prepared / "held_out"):
            target = copies / path.relative_to(prepared / "held_out")
            target.parent.mkdir(parents=True, exist_ok=True)
            altered(path).save(target)
        named = [("12 x 12 pixels", by_pixels(thumbnail)), ("colour histogram", by_pixels(colours))]
        if arguments.server:
            named += [(f"r = {r}", Served(arguments, r)) for r in arguments.r.split(",")]
        print(f"{'':20}{'category':>10}{'instance':>10}")
        for name, embed in named:
            print("{:20}{:10.1f}{:10.1f}".format(name, *scores(embed, prepared, copies)), flush=True)


if __name__ == "__main__":
    main()
