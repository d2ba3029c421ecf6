"""How many images go into one EmbedBatch call."""

from __future__ import annotations

from collections.abc import Iterator

from tome_client.embedding import EmbedOptions, Image, Item, Schedule, as_item, input_of, merge_of, output_of
from tome_client.v1 import embedding_pb2 as pb

# A field's tag and length, of the item and of its parts; and what a message holds beside its items.
_ITEM_OVERHEAD = 16
_CALL_OVERHEAD = 4096


def batch_requests(
    images: list[Image | Item], r: Schedule | None, options: EmbedOptions, limits: pb.Limits
) -> Iterator[pb.EmbedBatchRequest]:
    """Calls that hold the images in order, each as full as the server's limits allow. An image that is too large for
    any call gets one of its own, which the server refuses."""

    def empty() -> pb.EmbedBatchRequest:
        return pb.EmbedBatchRequest(
            model=options.model,
            if_weights_digest=options.if_weights_digest,
            merge=merge_of(r),
            output=output_of(options),
        )

    request, size = empty(), _CALL_OVERHEAD
    for image in images:
        item = as_item(image)
        part = pb.EmbedBatchRequest.Item(input=input_of(item.image), merge=merge_of(item.r))
        part_size = part.ByteSize() + _ITEM_OVERHEAD
        full = limits.images_per_call and len(request.items) == limits.images_per_call
        if request.items and (full or (limits.message_bytes and size + part_size > limits.message_bytes)):
            yield request
            request, size = empty(), _CALL_OVERHEAD
        request.items.append(part)
        size += part_size
    if request.items:
        yield request
