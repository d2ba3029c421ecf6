"""What goes into an embedding and what comes out of it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Literal, Union

import grpc
import numpy as np
import numpy.typing as npt

from tome_client import errors
from tome_client.errors import TomeError
from tome_client.v1 import embedding_pb2 as pb


@dataclasses.dataclass(frozen=True)
class ModelPixels:
    """Pixels of exactly the model's input size, uint8 [height, width, 3]: only its mean and std are applied."""

    pixels: npt.NDArray[np.uint8]


# bytes: a JPEG, PNG or WebP file's; a path: of such a file; an array: uint8 [height, width, 3] red, green, blue, of any size,
# resized and cropped as a file's pixels are.
Image = Union[bytes, "os.PathLike[str]", npt.NDArray[np.uint8], ModelPixels]


@dataclasses.dataclass(frozen=True)
class Linear:
    """A mean r with an inflection in [-1, 1]: -1 falls from 2r to 0 over the blocks, 1 rises from 0 to 2r."""

    mean_r: int
    inflection: float = 0.0


# How many token pairs each block merges: the same in every block; one a block; or a line.
Schedule = Union[int, Sequence[int], Linear]


@dataclasses.dataclass(frozen=True)
class Item:
    """An image of a batch or stream with a schedule of its own."""

    image: Image
    r: Schedule | None = None


@dataclasses.dataclass(frozen=True)
class EmbedOptions:
    """What a call asks for beside its images and their r."""

    model: str = ""  # may stay empty where the server holds one model
    # If set and not the digest of the weights: FAILED_PRECONDITION, so that vectors of two models never meet.
    if_weights_digest: str = ""
    # The vector's type on the wire; it is always decoded to float32.
    element_type: Literal["float32", "float16", "int8"] = "float32"
    normalize: bool = True  # to Euclidean length 1
    dimensions: int = 0  # leading dimensions to keep, before normalisation; 0 keeps all
    # What becomes the vector: the model's own choice, its class token or the mean of its patch tokens.
    pooling: Literal["model", "class_token", "mean"] = "model"
    merge_map: bool = False  # also return which final token each patch was merged into
    tokens: bool = False  # also return all final tokens
    model_pixels: bool = False  # also return the pixels that the model saw


@dataclasses.dataclass(frozen=True)
class MergeMap:
    """Which final token each patch is part of."""

    group_of_patch: npt.NDArray[np.int64]  # [grid height, grid width] row of the final tokens
    size: npt.NDArray[np.float32]  # [tokens out] patches each stands for


@dataclasses.dataclass(frozen=True)
class Timing:
    """Where the time of one image went on the server, in seconds. Stages it did not pass are None."""

    decode: float | None
    preprocess: float | None
    queue: float | None
    compute: float | None  # of the batch it was part of
    batch_images: int


@dataclasses.dataclass(frozen=True)
class Embedding:
    """One image's embedding and what was done for it. Vectors are comparable when their digests are equal."""

    vector: npt.NDArray[np.float32]
    model: str
    weights_digest: str
    merged_per_block: list[int]  # after the cap
    tokens_in: int  # prefix tokens included
    tokens_out: int
    gflops: float  # of the transformer blocks
    gflops_unmerged: float  # the same at r = 0
    # Cosine to the embedding at r = 0, where the model's profile tells it for this schedule.
    expected_fidelity: float | None
    timing: Timing
    merge_map: MergeMap | None
    tokens: npt.NDArray[np.float32] | None  # [tokens out, dimensions], prefix tokens first
    model_pixels: npt.NDArray[np.uint8] | None  # [height, width, 3] decoded, resized and cropped
    request_id: str
    retries: int  # times the call was sent again


_POOLINGS = {
    "model": pb.POOLING_UNSPECIFIED,
    "class_token": pb.POOLING_CLASS_TOKEN,
    "mean": pb.POOLING_MEAN,
}

# Of one image of several.
Outcome = Union[Embedding, TomeError]


def as_item(image: Image | Item) -> Item:
    return image if isinstance(image, Item) else Item(image)


def input_of(image: Image) -> pb.Input:
    """ValueError, TypeError or OSError for what is no image."""
    if isinstance(image, bytes):
        return pb.Input(encoded=image)
    if isinstance(image, os.PathLike):
        return pb.Input(encoded=pathlib.Path(image).read_bytes())
    if isinstance(image, ModelPixels):
        return pb.Input(model_pixels=_raw(image.pixels))
    if isinstance(image, np.ndarray):
        return pb.Input(rgb=_raw(image))
    raise TypeError(f"image: {type(image).__name__} is none of bytes, path, array and ModelPixels")


def _raw(pixels: npt.NDArray[np.uint8]) -> pb.RawImage:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"image: {pixels.dtype} {list(pixels.shape)} is not uint8 [height, width, 3]")
    return pb.RawImage(height=pixels.shape[0], width=pixels.shape[1], data=pixels.tobytes())


def merge_of(r: Schedule | None) -> pb.MergeSpec | None:
    if r is None:
        return None
    if isinstance(r, Linear):
        return pb.MergeSpec(linear=pb.MergeSpec.Linear(mean_r=r.mean_r, inflection=r.inflection))
    if isinstance(r, Sequence):
        return pb.MergeSpec(per_block=pb.MergeSpec.PerBlock(r=r))
    return pb.MergeSpec(constant=r)


def output_of(options: EmbedOptions) -> pb.OutputSpec:
    return pb.OutputSpec(
        element_type=getattr(pb, f"ELEMENT_TYPE_{options.element_type.upper()}"),
        normalization=pb.NORMALIZATION_L2 if options.normalize else pb.NORMALIZATION_NONE,
        dimensions=options.dimensions,
        pooling=_POOLINGS[options.pooling],
        merge_map=options.merge_map,
        tokens=options.tokens,
        model_pixels=options.model_pixels,
    )


def embed_request(image: Image, r: Schedule | None, options: EmbedOptions) -> pb.EmbedRequest:
    return pb.EmbedRequest(
        model=options.model,
        if_weights_digest=options.if_weights_digest,
        input=input_of(image),
        merge=merge_of(r),
        output=output_of(options),
    )


def _seconds(timing: pb.Timing, stage: str) -> float | None:
    if not timing.HasField(stage):
        return None
    duration = getattr(timing, stage)
    return float(duration.seconds + duration.nanos / 1e9)


_DTYPES: dict[int, npt.DTypeLike] = {
    pb.ELEMENT_TYPE_FLOAT32: np.dtype("<f4"),
    pb.ELEMENT_TYPE_FLOAT16: np.dtype("<f2"),
    pb.ELEMENT_TYPE_INT8: np.dtype("i1"),
}


def _decode(vector: pb.Vector) -> npt.NDArray[np.float32]:
    dtype = _DTYPES[vector.type]
    values: npt.NDArray[np.float32] = np.frombuffer(vector.data, dtype).astype(np.float32)
    if len(values) != vector.dimensions:
        raise ValueError(f"{len(vector.data)} bytes for {vector.dimensions} elements of {dtype}")
    if vector.type == pb.ELEMENT_TYPE_INT8:
        values *= np.float32(vector.scale)
    return values


def _embedding(model: pb.ModelRef, embedding: pb.Embedding, request_id: str, retries: int) -> Embedding:
    merge_map = tokens = model_pixels = None
    if embedding.HasField("merge_map"):
        grid = embedding.merge_map
        merge_map = MergeMap(
            np.array(grid.group_of_patch, np.int64).reshape(grid.grid_height, grid.grid_width),
            np.array(grid.size, np.float32),
        )
    if embedding.HasField("tokens"):
        tokens = np.frombuffer(embedding.tokens.data, "<f4").astype(np.float32)
        tokens = tokens.reshape(embedding.tokens.count, embedding.tokens.dimensions)
    if embedding.HasField("model_pixels"):
        seen = embedding.model_pixels
        model_pixels = np.frombuffer(seen.data, np.uint8).reshape(seen.height, seen.width, 3)
    applied, timing = embedding.applied, embedding.timing
    return Embedding(
        vector=_decode(embedding.vector),
        model=model.name,
        weights_digest=model.weights_digest,
        merged_per_block=list(applied.merged_per_block),
        tokens_in=applied.tokens_in,
        tokens_out=applied.tokens_out,
        gflops=applied.gflops,
        gflops_unmerged=applied.gflops_unmerged,
        expected_fidelity=applied.expected_fidelity if applied.HasField("expected_fidelity") else None,
        timing=Timing(
            decode=_seconds(timing, "decode"),
            preprocess=_seconds(timing, "preprocess"),
            queue=_seconds(timing, "queue"),
            compute=_seconds(timing, "compute"),
            batch_images=timing.batch_images,
        ),
        merge_map=merge_map,
        tokens=tokens,
        model_pixels=model_pixels,
        request_id=request_id,
        retries=retries,
    )


def outcome_of(model: pb.ModelRef, result: Any, request_id: str, retries: int) -> Outcome:
    """Of a Result, or of an EmbedResponse. INTERNAL if an answer contradicts itself: a server's fault, which must not
    become a wrong vector."""
    if isinstance(result, pb.Result) and result.WhichOneof("kind") == "error":
        return errors.from_status(result.error, request_id)
    try:
        return _embedding(model, result.embedding, request_id, retries)
    except (KeyError, ValueError) as error:
        message = f"the server's answer does not fit its description: {error}"
        return TomeError(grpc.StatusCode.INTERNAL, message, request_id=request_id)
