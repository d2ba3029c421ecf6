"""What a call that failed tells."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class TomeError(Exception):
    """A call, or one image of it, failed. `str()` names code, message and request.

    code        a grpc.StatusCode
    message     the server's own words
    field       the request field that is wrong, such as "merge.linear.inflection", or None
    request_id  the x-request-id by which the server's log names the call
    retries     how often the call was sent again before
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, *, field: str | None = None, request_id: str = "", retries: int = 0
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.field = field
        self.request_id = request_id
        self.retries = retries

    def __str__(self) -> str:
        text = f"{self.code.name}: {self.message}"
        if self.retries:
            text += f" (after {self.retries} retries)"
        if self.request_id:
            text += f" (request {self.request_id})"
        return text


def field_in(status: Any) -> str | None:
    """The field that a BadRequest among a google.rpc.Status's details names."""
    bad_request = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(bad_request) and bad_request.field_violations:
            return str(bad_request.field_violations[0].field)
    return None


def from_status(status: Any, request_id: str) -> TomeError:
    """Of one image, from its google.rpc.Status."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return TomeError(code, status.message, field=field_in(status), request_id=request_id)


def from_call(error: grpc.RpcError, timeout: float, request_id: str, retries: int) -> TomeError:
    """Of a whole call. `timeout` is what the caller allowed it, in seconds."""
    code, message = error.code(), error.details() or ""
    if code == grpc.StatusCode.DEADLINE_EXCEEDED and "Deadline Exceeded" in message:
        # gRPC's own words do not say what was tried.
        message = f"no answer within {timeout:g} s"
    details = status_pb2.Status.FromString(trailer(error, "grpc-status-details-bin") or b"")
    return TomeError(code, message, field=field_in(details), request_id=request_id, retries=retries)


def from_file(error: OSError, request_id: str) -> TomeError:
    """Of an image whose file cannot be read."""
    missing = isinstance(error, FileNotFoundError)
    code = grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.PERMISSION_DENIED
    return TomeError(code, f"the file cannot be read: {error}", request_id=request_id)


def trailer(error: grpc.RpcError, name: str) -> Any:
    """The value of a trailer of the failed call, or None."""
    return next((value for key, value in error.trailing_metadata() or () if key == name), None)


def pushback_of(error: grpc.RpcError) -> str | None:
    """How many milliseconds the server asks to wait, as it wrote it."""
    value = trailer(error, "grpc-retry-pushback-ms")
    return value.decode() if isinstance(value, bytes) else value
