"""A folder of pictures at once."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import numpy.typing as npt
import tqdm

from tome_client.client import Client
from tome_client.embedding import Embedding, EmbedOptions, Schedule
from tome_client.errors import TomeError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclasses.dataclass(frozen=True)
class FolderEmbeddings:
    """Row i of `vectors`, float32 [pictures, dimensions], is of paths[i]. Files that failed are in neither."""

    paths: list[pathlib.Path]
    vectors: npt.NDArray[np.float32]
    failed: dict[pathlib.Path, TomeError]


def pictures_in(folder: str | os.PathLike[str], recursive: bool = False) -> list[pathlib.Path]:
    """Its .jpg, .jpeg, .png and .webp files (in any case), sorted; with `recursive` those of its subfolders, too."""
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is no folder")
    found = root.rglob("*") if recursive else root.glob("*")
    return sorted(path for path in found if path.suffix.lower() in _SUFFIXES and path.is_file())


def embed_folder(
    client: Client,
    folder: str | os.PathLike[str],
    *,
    recursive: bool = False,
    r: Schedule | None = None,
    options: EmbedOptions = EmbedOptions(),
    timeout: float = 30.0,
    window: int = 64,
    progress: bool = True,
) -> FolderEmbeddings:
    """Embeds a folder's pictures over one stream, with a progress bar on standard error unless told otherwise. At most
    `window` files are in memory at once; the vectors all are."""
    paths = pictures_in(folder, recursive)
    vectors: dict[int, npt.NDArray[np.float32]] = {}
    failed: dict[pathlib.Path, TomeError] = {}


    # Vectors of one set of weights, even if the server's are replaced meanwhile.
    if not options.if_weights_digest:
        digest = client.get_model(options.model).model.weights_digest
        options = dataclasses.replace(options, if_weights_digest=digest)
    stream = client.embed_stream(paths, r=r, options=options, timeout=timeout, window=window)
    with tqdm.tqdm(total=len(paths), unit="image", disable=not progress) as bar:
        for place, outcome in stream:
            if isinstance(outcome, Embedding):
                vectors[place] = outcome.vector
            else:
                failed[paths[place]] = outcome
            bar.update()
    places = sorted(vectors)
    rows = np.stack([vectors[place] for place in places]) if places else np.empty((0, 0), np.float32)
    return FolderEmbeddings([paths[place] for place in places], rows, failed)
