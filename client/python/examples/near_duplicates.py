#!/usr/bin/env python3
"""Lists the pairs of pictures in a folder that look nearly alike.

usage: near_duplicates.py FOLDER [SERVER [COSINE]]
"""

import sys

import numpy as np
import tome_client


def main(folder, server="127.0.0.1:50051", cosine="0.95"):
    # Duplicates are far from what merging changes: a large r does, at a fraction of the cost.
    with tome_client.Client(server) as client:
        found = tome_client.embed_folder(client, folder, recursive=True, r=13)
    for path, error in found.failed.items():
        print(f"{path}: {error}", file=sys.stderr)
    # Vectors have length 1: dot products are cosines.
    alike = np.triu(found.vectors @ found.vectors.T, k=1) >= float(cosine)
    for first, second in np.argwhere(alike):
        print(f"{found.vectors[first] @ found.vectors[second]:.4f}  {found.paths[first]}  {found.paths[second]}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
