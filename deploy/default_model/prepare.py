#!/usr/bin/env python3
"""Debian's package openclipart-png as a folder of small pictures, split into train/ and held_out/.

    prepare.py FOLDER [--package FILE.deb]

downloads the package with apt-get unless its file is named, and writes FOLDER/train and FOLDER/held_out, in each a
folder a top category, and FOLDER/split.csv: every picture with its side and its group of near duplicates. Pictures are
public domain (openclipart's terms). Each is laid on white and shrunk to at most 224 pixels a side. What is there already is
kept, so an interrupted run goes on.

The split is fixed: pictures whose perceptual hashes are near each other form a group, and a group's side follows from the
SHA-256 of its first name alone. Near duplicates therefore never stand on both sides.
"""

import argparse
import collections
import csv
import hashlib
import multiprocessing
import pathlib
import shutil
import subprocess
import tempfile

import numpy
from PIL import Image

PACKAGE = "openclipart-png=1:0.18+dfsg-19"
INSIDE = "usr/share/openclipart/png"
LONG_SIDE = 224
HASH_SIDE = 16
# The hashes of near duplicates differ at most in so many bits, and in so many of those that either has.
NEAR_BITS = 12
NEAR_SHARE = 0.2
HELD_OUT_PERCENT = 20


def on_white(path):
    """The picture without transparency, as a viewer shows it."""
    with Image.open(path) as image:
        # Palettes and greys with a transparent entry, too.
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")


def shrink(source_and_target):
    source, target = source_and_target
    if target.exists():
        return
    image = on_white(source)
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=4.0)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    image.save(partial, "PNG")
    partial.rename(target)


def difference_hash(path):
    """One bit for each pair of horizontal neighbours of a thumbnail: is the left one clearly brighter?"""
    with Image.open(path) as image:
        grey = image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    levels = numpy.asarray(grey, dtype=numpy.int16)
    return (levels[:, :-1] > levels[:, 1:] + 2).reshape(-1)


def near_groups(hashes):
    """For each picture the lowest index of those that it reaches over near pairs."""
    bits = numpy.asarray(hashes, dtype=numpy.float32)
    counts = bits.sum(1)
    parent = list(range(len(hashes)))

    def root(index):
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for index in range(len(hashes)):
        common = bits[index:] @ bits[index]
        either = counts[index] + counts[index:] - common
        distance = either - common
        near = (distance <= NEAR_BITS) & (distance <= NEAR_SHARE * either)
        for other in index + numpy.flatnonzero(near):
            low, high = sorted((root(index), root(int(other))))
            parent[high] = low
    return [root(index) for index in range(len(hashes))]


def side_of(name):
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return "held_out" if number % 100 < HELD_OUT_PERCENT else "train"


def unpack(package, folder):
    if package is None:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
        package = next(folder.glob("*.deb"))
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True)
    return folder / INSIDE


def prepare(pictures, folder):
    Image.MAX_IMAGE_PIXELS = None  # the largest has 168 megapixels, and the package is trusted
    names = sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    small = folder / "small"
    with multiprocessing.Pool() as pool:
        work = [(pictures / name, small / name) for name in names]
        for done, _ in enumerate(pool.imap_unordered(shrink, work, chunksize=8), 1):
            if done % 500 == 0 or done == len(work):
                print(f"{done} of {len(work)} pictures", flush=True)
        hashes = pool.map(difference_hash, [small / name for name in names], chunksize=64)

    for side in ("train", "held_out"):
        shutil.rmtree(folder / side, ignore_errors=True)
    groups = near_groups(hashes)
    sides = collections.Counter()
    with open(folder / "split.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["picture", "side", "group"])
        for name, group in zip(names, groups):
            side = side_of(names[group])
            sides[side] += 1
            rows.writerow([name, side, names[group]])
            category, *rest = pathlib.PurePath(name).parts
            target = folder / side / category / "__".join(rest)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(small / name, target)
    sizes = collections.Counter(groups)
    print(f"{len(names)} pictures in {len(sizes)} groups, the largest of {max(sizes.values())}:", dict(sides))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--package", type=pathlib.Path, help="the .deb, already downloaded")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as unpacked:
        package = arguments.package.resolve() if arguments.package else None
        prepare(unpack(package, pathlib.Path(unpacked)), arguments.folder)


if __name__ == "__main__":
    main()
