#!/usr/bin/env python3
"""Writes a ViT-S/16 checkpoint of seeded random weights, laid out as timm saves one.

    deploy/random_checkpoint.py DIRECTORY

Its embeddings mean nothing; its cost is that of a trained ViT-S/16. The same seed gives the same bytes on every
machine. Needs nothing but Python's standard library.
"""

import array
import json
import math
import pathlib
import random
import statistics
import struct
import sys

DIM, DEPTH, HEADS, HIDDEN, PATCH, SIDE = 384, 12, 6, 1536, 16, 224
SEED = 20230501

CONFIG = {
    "architecture": "vit_small_patch16_224",
    "num_classes": 0,
    "num_features": DIM,
    "global_pool": "token",
    "pretrained_cfg": {
        "input_size": [3, SIDE, SIDE],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
}


def tensor_shapes():
    patches = (SIDE // PATCH) ** 2
    shapes = {
        "cls_token": [1, 1, DIM],
        "pos_embed": [1, patches + 1, DIM],
        "patch_embed.proj.weight": [DIM, 3, PATCH, PATCH],
        "patch_embed.proj.bias": [DIM],
        "norm.weight": [DIM],
        "norm.bias": [DIM],
    }
    for block in range(DEPTH):
        shapes |= {
            f"blocks.{block}.{name}": shape
            for name, shape in {
                "norm1.weight": [DIM],
                "norm1.bias": [DIM],
                "attn.qkv.weight": [3 * DIM, DIM],
                "attn.qkv.bias": [3 * DIM],
                "attn.proj.weight": [DIM, DIM],
                "attn.proj.bias": [DIM],
                "norm2.weight": [DIM],
                "norm2.bias": [DIM],
                "mlp.fc1.weight": [HIDDEN, DIM],
                "mlp.fc1.bias": [HIDDEN],
                "mlp.fc2.weight": [DIM, HIDDEN],
                "mlp.fc2.bias": [DIM],
            }.items()
        }
    return shapes


def normal_samples(generator, count, deviation):
    # 16 random bits pick one of 65,536 evenly spaced quantiles: exact on every machine and fast without numpy.
    bits = array.array("H", generator.randbytes(2 * count))
    if sys.byteorder == "big":
        bits.byteswap()
    scaled = [deviation * quantile for quantile in QUANTILES]
    return array.array("f", map(scaled.__getitem__, bits))


QUANTILES = [statistics.NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(65536)]


def values(generator, name, count):
    if name.endswith("bias"):
        return array.array("f", bytes(4 * count))
    if "norm" in name:
        return array.array("f", [1.0]) * count
    # Wide enough that patches keep different keys through 12 blocks; timm's 0.02 leaves them nearly alike.
    fan_in = {"patch_embed.proj.weight": 3 * PATCH * PATCH}.get(name, HIDDEN if "fc2" in name else DIM)
    deviation = 0.5 if name in ("cls_token", "pos_embed") else 1.0 / math.sqrt(fan_in)
    return normal_samples(generator, count, deviation)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    shapes = tensor_shapes()

    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)

    generator = random.Random(SEED)
    # Renamed when whole, so that an interrupted run leaves no checkpoint behind.
    unfinished = directory / "model.safetensors.part"
    with unfinished.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, shape in shapes.items():
            data = values(generator, name, math.prod(shape))
            if sys.byteorder == "big":
                data.byteswap()
            file.write(data.tobytes())
    (directory / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    unfinished.rename(directory / "model.safetensors")


if __name__ == "__main__":
    main()
