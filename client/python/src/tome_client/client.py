"""The blocking client."""

from __future__ import annotations

import concurrent.futures
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from tome_client import channel, errors
from tome_client.batches import Batch, batches_of, check_at_least_one
from tome_client.channel import Tls
from tome_client.embedding import Embedding, EmbedOptions, Image, Item, Outcome, Schedule, embed_request, outcome_of
from tome_client.errors import TomeError
from tome_client.retry import Retries, RetryPolicy
from tome_client.stream_book import AttemptEnded, Event, Prepared, Read, SourceEnded, StreamBook
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
        """An embedding, or the error, of each image, in their order. They are sent in EmbedBatch calls, `calls_at_once`
        of them under way together, which take half of the server's places; each has the timeout. A call that fails
        gives its error to each of its images."""
        check_at_least_one("calls_at_once", calls_at_once)
        listed = list(images)
        outcomes: dict[int, Outcome] = {}

        def send(batch: Batch) -> None:
            try:
                response, request_id, retries = self._call("EmbedBatch", batch.request, pb.EmbedBatchResponse, timeout)
            except TomeError as error:
                outcomes.update({place: error for place in batch.places})
                return
            for place, result in zip(batch.places, response.results):
                outcomes[place] = outcome_of(response.model, result, request_id, retries)

        if not listed:
            return []
        limits = self._limits_of(options.model, timeout)
        under_way: set[concurrent.futures.Future[None]] = set()
        with concurrent.futures.ThreadPoolExecutor(calls_at_once) as pool:
            for batch in batches_of(listed, r, options, limits, calls_at_once, outcomes):
                # No more of the files than are on their way are in memory.
                if len(under_way) == calls_at_once:
                    done, under_way = concurrent.futures.wait(under_way, return_when="FIRST_COMPLETED")
                    for call in done:
                        call.result()
                under_way.add(pool.submit(send, batch))
            for call in under_way:
                call.result()
        return [outcomes[place] for place in range(len(listed))]

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
        call, in constant memory. At most `window` images are unanswered at once; `images` and its files are read in a
        thread of the client's, as far as the window allows, and may wait for outcomes. `timeout` is of each image. What
        a stream that broke, or a server that drains, left unanswered is sent again."""
        check_at_least_one("window", window)
        request_id = channel.new_request_id()
        message_bytes = self._message_bytes(options.model, timeout)
        book = StreamBook(r, options, timeout, self._retry, request_id, message_bytes)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        source = _Source(images, window, book.prepare, events)
        exhausted = False
        attempt: _Attempt | None = None
        try:
            while not exhausted or len(book) > 0:
                try:
                    event = events.get(timeout=book.seconds_left(time.monotonic()))
                except queue.Empty:
                    event = None
                outcomes: list[tuple[int, Outcome]] = []
                if isinstance(event, SourceEnded):
                    if event.error is not None:
                        raise event.error
                    exhausted = True
                elif not isinstance(event, AttemptEnded):
                    outcomes = book.take(event, time.monotonic())
                elif attempt is not None:
                    attempt.end(whole=False)
                    attempt = None
                    wait = book.wait_before_next_attempt(event.error, time.monotonic())
                    if wait is None:
                        outcomes = book.fail_sent(event.error)
                    else:
                        time.sleep(wait)
                for request in book.to_send(time.monotonic()):
                    if attempt is None:
                        attempt = _Attempt(self._channel, channel.metadata(self._bearer_token, request_id), events)
                    attempt.send(request)
                if attempt is not None and not book.open:
                    attempt.done_sending()
                for outcome in outcomes:
                    source.give_place()
                    yield outcome
        finally:
            source.stop()
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

    def _message_bytes(self, model: str, timeout: float) -> int:
        """The server's limit; 0 where it does not answer, which each image will say for itself."""
        try:
            return self._limits_of(model, timeout).message_bytes
        except TomeError:
            return 0

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


class _Source:
    """Reads the images on a thread of its own, `window` ahead of the outcomes."""

    def __init__(
        self,
        images: Iterable[Image | Item],
        window: int,
        prepare: Callable[[Image | Item], Prepared],
        events: queue.SimpleQueue[Event],
    ) -> None:
        self._images = images
        self._places = threading.Semaphore(window)
        self._prepare = prepare
        self._events = events
        self._stopped = False
        # Nobody waits for it: the images may come from something that blocks.
        threading.Thread(target=self._read, daemon=True).start()

    def give_place(self) -> None:
        self._places.release()

    def stop(self) -> None:
        self._stopped = True
        self._places.release()

    def _read(self) -> None:
        try:
            images = iter(self._images)
            while True:
                self._places.acquire()
                if self._stopped:
                    return
                try:
                    image = next(images)
                except StopIteration:
                    break
                self._events.put(Read(self._prepare(image)))
            self._events.put(SourceEnded(None))
        except BaseException as error:
            # Raised where the caller waits.
            self._events.put(SourceEnded(error))


class _Attempt:
    """One EmbedStream call. gRPC sends and receives on threads of its own. The last of its events is AttemptEnded."""

    def __init__(self, to: Any, metadata: list[tuple[str, str]], events: queue.SimpleQueue[Event]) -> None:
        self._requests: queue.SimpleQueue[pb.EmbedStreamRequest | None] = queue.SimpleQueue()
        self._events = events
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
            self._events.put(AttemptEnded(None))
        except grpc.RpcError as error:
            self._events.put(AttemptEnded(error))
