"""The blocking client."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import queue
import random
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from tome_client import channel, errors
from tome_client.batches import batch_requests
from tome_client.channel import Tls
from tome_client.embedding import Embedding, EmbedOptions, Image, Item, Outcome, Schedule, embed_request, outcome_of
from tome_client.errors import TomeError
from tome_client.retry import Retries, RetryPolicy
from tome_client.stream_book import StreamBook
from tome_client.v1 import embedding_pb2 as pb

# Seconds that a server may take to end a stream that has nothing left to answer.
_END_IN_ORDER = 5.0


class Client:
    """Calls one server, or one set of alike servers, over one channel that takes turns among the healthy ones.

    server        HOST:PORT, or any gRPC target, such as ipv4:10.0.0.1:50051,10.0.0.2:50051
    tls           None: plain text
    bearer_token  sent with each call, unless empty

    Errors are TomeError. Refusals are retried as RetryPolicy tells; `timeout`, in seconds, bounds a call with all its
    attempts and the waits between them. Thread-safe. Close it, or use it in a `with` statement.
    """

    def __init__(
        self, server: str, *, tls: Tls | None = None, bearer_token: str = "", retry: RetryPolicy = RetryPolicy()
    ) -> None:
        self._channel, self._health_channel = channel.connect(grpc, server, tls)
        self._bearer_token = bearer_token
        self._retry = retry
        self._limits: dict[str, pb.Limits] = {}

    def close(self) -> None:
        """Cancels what is under way."""
        self._channel.close()
        self._health_channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def embed(
        self,
        image: Image,
        *,
        r: Schedule | None = None,
        options: EmbedOptions = EmbedOptions(),
        timeout: float = 30.0,
        request_id: str = "",
    ) -> Embedding:
        """One image's embedding. Without `r` the server's default for the model applies."""
        request = embed_request(image, r, options)
        response, request_id, retries = self._call("Embed", request, pb.EmbedResponse, timeout, request_id)
        outcome = outcome_of(response.model, response, request_id, retries)
        if isinstance(outcome, TomeError):
            raise outcome
        return outcome

    def embed_batch(
        self,
        images: Iterable[Image | Item],
        *,
        r: Schedule | None = None,
        options: EmbedOptions = EmbedOptions(),
        timeout: float = 30.0,
        calls_at_once: int = 2,
    ) -> list[Outcome]:
        """An embedding, or the error, of each image, in their order. They are sent in as many EmbedBatch calls as the
        server's limits ask for, each with the timeout; a call that fails gives its error to each of its images."""

        def one(request: pb.EmbedBatchRequest) -> list[Outcome]:
            try:
                response, request_id, retries = self._call("EmbedBatch", request, pb.EmbedBatchResponse, timeout)
            except TomeError as error:
                return [error] * len(request.items)
            return [outcome_of(response.model, result, request_id, retries) for result in response.results]

        listed = list(images)
        if not listed:
            return []
        with concurrent.futures.ThreadPoolExecutor(calls_at_once) as pool:
            requests = batch_requests(listed, r, options, self._limits_of(options.model, timeout))
            return [outcome for outcomes in pool.map(one, requests) for outcome in outcomes]

    def embed_stream(
        self,
        images: Iterable[Image | Item],
        *,
        r: Schedule | None = None,
        options: EmbedOptions = EmbedOptions(),
        timeout: float = 30.0,
        window: int = 64,
    ) -> Iterator[tuple[int, Outcome]]:
        """The outcome of each image as it is ready, with the image's place in `images`: any number of them over one
        call, in constant memory. At most `window` images are unanswered at once; `images` is read in the caller's
        thread, as far as the window allows. `timeout` is of each image. What a stream that broke, or a server that
        drains, left unanswered is sent again."""
        request_id = channel.new_request_id()
        book = StreamBook(r, options, timeout, self._retry, request_id)
        source = iter(images)
        exhausted = False
        attempt: _Attempt | None = None
        try:
            while True:
                while not exhausted and len(book) < window:
                    try:
                        book.add(next(source), time.monotonic())
                    except StopIteration:
                        exhausted = True
                if len(book) == 0:
                    return
                if attempt is None:
                    attempt = _Attempt(self._channel, channel.metadata(self._bearer_token, request_id))
                for request in book.to_send(time.monotonic()):
                    attempt.send(request)
                if not book.open:
                    attempt.done_sending()
                event = attempt.next_event(book.next_deadline() - time.monotonic())
                if isinstance(event, pb.EmbedStreamResponse):
                    yield from book.answered(event)
                elif isinstance(event, _Ended):
                    attempt = None
                    wait = book.wait_before_next_attempt(event.error, time.monotonic())
                    if wait is None:
                        yield from book.fail_sent(event.error)
                    else:
                        time.sleep(wait)
                yield from book.expired(time.monotonic())
        finally:
            if attempt is not None:
                attempt.end(whole=exhausted and len(book) == 0)

    def list_models(self, *, timeout: float = 10.0) -> list[pb.Model]:
        """The models that the server holds, as tome.v1.Model."""
        response, _, _ = self._call("ListModels", pb.ListModelsRequest(), pb.ListModelsResponse, timeout)
        return list(response.models)

    def get_model(self, name: str = "", *, timeout: float = 10.0) -> pb.GetModelResponse:
        """A model's facts, and the limits of a call; the server's only model without a name."""
        response: pb.GetModelResponse
        response, _, _ = self._call("GetModel", pb.GetModelRequest(name=name), pb.GetModelResponse, timeout)
        return response

    def health(self, service: str = channel.SERVICE, *, timeout: float = 10.0) -> str:
        """What one server says of itself, never retried: SERVING, NOT_SERVING or SERVICE_UNKNOWN."""
        call = self._health_channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        request_id = channel.new_request_id()
        try:
            response = call(
                health_pb2.HealthCheckRequest(service=service),
                timeout=timeout,
                metadata=channel.metadata(self._bearer_token, request_id),
            )
        except grpc.RpcError as error:
            # How Check, unlike Watch, says that it does not know the service.
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return "SERVICE_UNKNOWN"
            raise errors.from_call(error, timeout, request_id, 0) from None
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def _limits_of(self, model: str, timeout: float) -> pb.Limits:
        if model not in self._limits:
            self._limits[model] = self.get_model(model, timeout=timeout).limits
        return self._limits[model]

    def _call(
        self, method: str, request: Any, response_type: Any, timeout: float, request_id: str = ""
    ) -> tuple[Any, str, int]:
        """The response, the id and the retries of a call."""
        call = self._channel.unary_unary(
            f"/{channel.SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_type.FromString,
        )
        request_id = request_id or channel.new_request_id()
        metadata = channel.metadata(self._bearer_token, request_id)
        deadline = time.monotonic() + timeout
        retries = Retries(self._retry)
        while True:
            try:
                remaining = max(deadline - time.monotonic(), 0)
                return call(request, timeout=remaining, metadata=metadata), request_id, retries.count
            except grpc.RpcError as error:
                remaining = deadline - time.monotonic()
                wait = retries.next(error.code(), errors.pushback_of(error), random.random(), remaining)
                if wait is None:
                    raise errors.from_call(error, timeout, request_id, retries.count) from None
            time.sleep(wait)


@dataclasses.dataclass(frozen=True)
class _Ended:
    error: grpc.RpcError | None


class _Attempt:
    """One EmbedStream call. gRPC sends and receives on threads of its own."""

    def __init__(self, to: Any, metadata: list[tuple[str, str]]) -> None:
        self._requests: queue.SimpleQueue[pb.EmbedStreamRequest | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[pb.EmbedStreamResponse | _Ended] = queue.SimpleQueue()
        stream = to.stream_stream(
            f"/{channel.SERVICE}/EmbedStream",
            request_serializer=pb.EmbedStreamRequest.SerializeToString,
            response_deserializer=pb.EmbedStreamResponse.FromString,
        )
        self._call = stream(iter(self._requests.get, None), metadata=metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, request: pb.EmbedStreamRequest) -> None:
        self._requests.put(request)

    def done_sending(self) -> None:
        self._requests.put(None)

    def next_event(self, timeout: float) -> pb.EmbedStreamResponse | _Ended | None:
        """An answer, the end of the call, or None if neither comes within the timeout."""
        try:
            return self._events.get(timeout=max(timeout, 0))
        except queue.Empty:
            return None

    def end(self, whole: bool) -> None:
        """Lets a call that is `whole` end in order; cancels it otherwise."""
        self.done_sending()
        if whole:
            self._reader.join(_END_IN_ORDER)
        self._call.cancel()
        self._reader.join()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._events.put(response)
            self._events.put(_Ended(None))
        except grpc.RpcError as error:
            self._events.put(_Ended(error))
