"""Which images go into one EmbedBatch call."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from tome_client import errors
from tome_client.embedding import EmbedOptions, Image, Item, Outcome, Schedule, as_item, input_of, merge_of, output_of
from tome_client.v1 import embedding_pb2 as pb

# A field's tag and length, of the item and of its parts; and what a message holds beside its items.
_ITEM_OVERHEAD = 16
_CALL_OVERHEAD = 4096


@dataclasses.dataclass(frozen=True)
class Batch:
    request: pb.EmbedBatchRequest
    places: list[int]  # of its items among the images


def check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}: {value} is less than 1")


def batches_of(
    images: list[Image | Item],
    r: Schedule | None,
    options: EmbedOptions,
    limits: pb.Limits,
    calls_at_once: int,
    outcomes: dict[int, Outcome],
) -> Iterator[Batch]:
    """Calls that hold the images in order, each as large as the limits on messages and places allow. A call gets in whole
    or not at all: so that it does beside other load, all that are under way together take half of the server's places.
    An image that is too large for any call gets one of its own, which the server refuses; a file that cannot be read
    goes to `outcomes`."""
    most_images = max(limits.images_per_call // (2 * calls_at_once), 1) if limits.images_per_call else len(images)

    def empty() -> Batch:
        request = pb.EmbedBatchRequest(
            model=options.model,
            if_weights_digest=options.if_weights_digest,
            merge=merge_of(r),
            output=output_of(options),
        )
        return Batch(request, [])

    batch, size = empty(), _CALL_OVERHEAD
    for place, image in enumerate(images):
        item = as_item(image)
        try:
            part = pb.EmbedBatchRequest.Item(input=input_of(item.image), merge=merge_of(item.r))
        except OSError as error:
            outcomes[place] = errors.from_file(error, "")
            continue
        part_size = part.ByteSize() + _ITEM_OVERHEAD
        too_large = limits.message_bytes and size + part_size > limits.message_bytes
        if batch.places and (len(batch.places) == most_images or too_large):
            yield batch
            batch, size = empty(), _CALL_OVERHEAD
        batch.request.items.append(part)
        batch.places.append(place)
        size += part_size
    if batch.places:
        yield batch
