"""Client of the ToMe image embedding server: numpy in, numpy out."""

from tome_client.aio import AsyncClient
from tome_client.channel import Tls
from tome_client.client import Client
from tome_client.embedding import (
    Embedding,
    EmbedOptions,
    Image,
    Item,
    Linear,
    MergeMap,
    ModelPixels,
    Outcome,
    Schedule,
    Timing,
)
from tome_client.errors import TomeError
from tome_client.folder import FolderEmbeddings, embed_folder
from tome_client.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "Client",
    "EmbedOptions",
    "Embedding",
    "FolderEmbeddings",
    "Image",
    "Item",
    "Linear",
    "MergeMap",
    "ModelPixels",
    "Outcome",
    "RetryPolicy",
    "Schedule",
    "Timing",
    "Tls",
    "TomeError",
    "embed_folder",
]
