#!/usr/bin/env python3
"""Writes a ViT checkpoint of seeded random weights, laid out as timm saves one.

    deploy/random_checkpoint.py DIRECTORY [small|base|large]

A ViT-S/16 unless told. Its embeddings mean nothing; its cost is that of a trained one. The same seed gives the same bytes on every
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

PATCH, SIDE = 16, 224
SEED = 20230501
# Width and blocks; timm knows the heads by the architecture.
SIZES = {"small": (384, 12), "base": (768, 12), "large": (1024, 24)}


def config(size):
    return {
        "architecture": f"vit_{size}_patch16_224",
        "num_classes": 0,
        "num_features": SIZES[size][0],
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


def tensor_shapes(dim, depth):
    patches = (SIDE // PATCH) ** 2
    shapes = {
        "cls_token": [1, 1, dim],
        "pos_embed": [1, patches + 1, dim],
        "patch_embed.proj.weight": [dim, 3, PATCH, PATCH],
        "patch_embed.proj.bias": [dim],
        "norm.weight": [dim],
        "norm.bias": [dim],
    }
    for block in range(depth):
        shapes |= {
            f"blocks.{block}.{name}": shape
            for name, shape in {
                "norm1.weight": [dim],
                "norm1.bias": [dim],
                "attn.qkv.weight": [3 * dim, dim],
                "attn.qkv.bias": [3 * dim],
                "attn.proj.weight": [dim, dim],
                "attn.proj.bias": [dim],
                "norm2.weight": [dim],
                "norm2.bias": [dim],
                "mlp.fc1.weight": [4 * dim, dim],
                "mlp.fc1.bias": [4 * dim],
                "mlp.fc2.weight": [dim, 4 * dim],
                "mlp.fc2.bias": [dim],
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


def values(generator, name, shape):
    count = math.prod(shape)
    if name.endswith("bias"):
        return array.array("f", bytes(4 * count))
    if "norm" in name:
        return array.array("f", [1.0]) * count
    # Wide enough that patches keep different keys through all blocks; timm's 0.02 leaves them nearly alike.
    deviation = 0.5 if name in ("cls_token", "pos_embed") else 1.0 / math.sqrt(math.prod(shape[1:]))
    return normal_samples(generator, count, deviation)


def main():
    size = sys.argv[2] if len(sys.argv) == 3 else "small"
    if len(sys.argv) not in (2, 3) or size not in SIZES:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    shapes = tensor_shapes(*SIZES[size])

    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)

    generator = random.Random(SEED)
    # Renamed when whole, so that an interrupted run leaves no checkpoint behind.
    unfinished = directory / "model.safetensors.part"
    with unfinished.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, shape in shapes.items():
            data = values(generator, name, shape)
            if sys.byteorder == "big":
                data.byteswap()
            file.write(data.tobytes())
    (directory / "config.json").write_text(json.dumps(config(size), indent=2) + "\n")
    unfinished.rename(directory / "model.safetensors")


if __name__ == "__main__":
    main()
