"""One channel to one server, or to one set of alike servers."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import uuid
from typing import Any

import grpc

SERVICE = "tome.v1.EmbeddingService"

_COMMON: list[tuple[str, Any]] = [
    # Final tokens are larger than gRPC's default of 4 MB.
    ("grpc.max_receive_message_length", -1),
    # Also turns off gRPC's transparent retries: attempts are counted and spaced in retry.py alone.
    ("grpc.enable_retries", 0),
    # What DNS says about load balancing does not replace what this client ships.
    ("grpc.service_config_disable_resolution", 1),
    # gRPC's default of up to two minutes between attempts to connect would outlast a call.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 5000),
]

_BALANCED = [
    *_COMMON,
    # Takes turns among the addresses whose health service says that the embedding service is serving.
    (
        "grpc.service_config",
        json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": SERVICE}}),
    ),
]


@dataclasses.dataclass(frozen=True)
class Tls:
    """PEM files. None: the system's roots, and no client certificate."""

    ca_file: str | None = None
    certificate_file: str | None = None  # needs key_file
    key_file: str | None = None

    def credentials(self) -> Any:
        """OSError for a file that cannot be read."""
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("a TLS client certificate and its key go together")
        ca, certificate, key = (
            None if file is None else pathlib.Path(file).read_bytes()
            for file in (self.ca_file, self.certificate_file, self.key_file)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


def connect(api: Any, server: str, tls: Tls | None) -> tuple[Any, Any]:
    """Of `api`, grpc or grpc.aio: the channel of all calls, which hides servers that are not healthy, and the one by
    which health is asked. Neither connects before its first call."""
    if not server:
        raise ValueError("server: it is empty")

    def channel(options: list[tuple[str, Any]]) -> Any:
        if tls is None:
            return api.insecure_channel(server, options=options)
        return api.secure_channel(server, tls.credentials(), options=options)

    return channel(_BALANCED), channel(_COMMON)


def metadata(bearer_token: str, request_id: str) -> list[tuple[str, str]]:
    sent = [("x-request-id", request_id)]
    if bearer_token:
        sent.append(("authorization", f"Bearer {bearer_token}"))
    return sent


def new_request_id() -> str:
    return uuid.uuid4().hex
