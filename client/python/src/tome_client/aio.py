"""The asyncio client: the same calls as tome_client.Client, awaited."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
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


class AsyncClient:
    """As tome_client.Client, for one event loop: create it inside a coroutine. Close it, or use it in `async with`."""

    def __init__(
        self, server: str, *, tls: Tls | None = None, bearer_token: str = "", retry: RetryPolicy = RetryPolicy()
    ) -> None:
        self._channel, self._health_channel = channel.connect(grpc.aio, server, tls)
        self._bearer_token = bearer_token
        self._retry = retry
        self._limits: dict[str, pb.Limits] = {}

    async def close(self) -> None:
        """Cancels what is under way."""
        await self._channel.close()
        await self._health_channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def embed(
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
        response, request_id, retries = await self._call("Embed", request, pb.EmbedResponse, timeout, request_id)
        outcome = outcome_of(response.model, response, request_id, retries)
        if isinstance(outcome, TomeError):
            raise outcome
        return outcome

    async def embed_batch(
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
        gives its error to each of its images. Files are read in threads."""
        check_at_least_one("calls_at_once", calls_at_once)
        listed = list(images)
        outcomes: dict[int, Outcome] = {}

        async def send(batch: Batch) -> None:
            try:
                response, request_id, retries = await self._call(
                    "EmbedBatch", batch.request, pb.EmbedBatchResponse, timeout
                )
            except TomeError as error:
                outcomes.update({place: error for place in batch.places})
                return
            for place, result in zip(batch.places, response.results):
                outcomes[place] = outcome_of(response.model, result, request_id, retries)

        if not listed:
            return []
        batches = batches_of(
            listed, r, options, await self._limits_of(options.model, timeout), calls_at_once, outcomes
        )
        under_way: set[asyncio.Task[None]] = set()
        try:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                # No more of the files than are on their way are in memory.
                if len(under_way) == calls_at_once:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for call in done:
                        call.result()
                under_way.add(asyncio.create_task(send(batch)))
            await asyncio.gather(*under_way)
        finally:
            for call in under_way:
                call.cancel()
        return [outcomes[place] for place in range(len(listed))]

    async def embed_stream(
        self,
        images: Iterable[Image | Item] | AsyncIterable[Image | Item],
        *,
        r: Schedule | None = None,
        options: EmbedOptions = EmbedOptions(),
        timeout: float = 30.0,
        window: int = 64,
    ) -> AsyncIterator[tuple[int, Outcome]]:
        """The outcome of each image as it is ready, with the image's place in `images`: any number of them over one
        call, in constant memory. At most `window` images are unanswered at once; `images` is read by a task, as far as
        the window allows, and may wait for outcomes; its files are read in threads. `timeout` is of each image. What a
        stream that broke, or a server that drains, left unanswered is sent again."""
        check_at_least_one("window", window)
        request_id = channel.new_request_id()
        message_bytes = await self._message_bytes(options.model, timeout)
        book = StreamBook(r, options, timeout, self._retry, request_id, message_bytes)
        events: asyncio.Queue[Event] = asyncio.Queue()
        places = asyncio.Semaphore(window)
        source = asyncio.create_task(_read_source(images, places, book.prepare, events))
        exhausted = False
        attempt: _Attempt | None = None
        try:
            while not exhausted or len(book) > 0:
                event = await _next(events, book.seconds_left(time.monotonic()))
                outcomes: list[tuple[int, Outcome]] = []
                if isinstance(event, SourceEnded):
                    if event.error is not None:
                        raise event.error
                    exhausted = True
                elif not isinstance(event, AttemptEnded):
                    outcomes = book.take(event, time.monotonic())
                elif attempt is not None:
                    attempt.end()
                    attempt = None
                    wait = book.wait_before_next_attempt(event.error, time.monotonic())
                    if wait is None:
                        outcomes = book.fail_sent(event.error)
                    else:
                        await asyncio.sleep(wait)
                for request in book.to_send(time.monotonic()):
                    if attempt is None:
                        attempt = _Attempt(self._channel, channel.metadata(self._bearer_token, request_id), events)
                    attempt.send(request)
                if attempt is not None and not book.open:
                    attempt.done_sending()
                for outcome in outcomes:
                    places.release()
                    yield outcome
        finally:
            source.cancel()
            if attempt is not None:
                if exhausted and len(book) == 0:
                    await attempt.end_in_order()
                attempt.end()

    async def list_models(self, *, timeout: float = 10.0) -> list[pb.Model]:
        """The models that the server holds, as tome.v1.Model."""
        response, _, _ = await self._call("ListModels", pb.ListModelsRequest(), pb.ListModelsResponse, timeout)
        return list(response.models)

    async def get_model(self, name: str = "", *, timeout: float = 10.0) -> pb.GetModelResponse:
        """A model's facts, and the limits of a call; the server's only model without a name."""
        response: pb.GetModelResponse
        response, _, _ = await self._call("GetModel", pb.GetModelRequest(name=name), pb.GetModelResponse, timeout)
        return response

    async def health(self, service: str = channel.SERVICE, *, timeout: float = 10.0) -> str:
        """What one server says of itself, never retried: SERVING, NOT_SERVING or SERVICE_UNKNOWN."""
        call = self._health_channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        request_id = channel.new_request_id()
        try:
            response = await call(
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

    async def _limits_of(self, model: str, timeout: float) -> pb.Limits:
        if model not in self._limits:
            self._limits[model] = (await self.get_model(model, timeout=timeout)).limits
        return self._limits[model]

    async def _message_bytes(self, model: str, timeout: float) -> int:
        """The server's limit; 0 where it does not answer, which each image will say for itself."""
        try:
            return (await self._limits_of(model, timeout)).message_bytes
        except TomeError:
            return 0

    async def _call(
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
                return await call(request, timeout=remaining, metadata=metadata), request_id, retries.count
            except grpc.RpcError as error:
                remaining = deadline - time.monotonic()
                wait = retries.next(error.code(), errors.pushback_of(error), random.random(), remaining)
                if wait is None:
                    raise errors.from_call(error, timeout, request_id, retries.count) from None
            await asyncio.sleep(wait)


async def _next(events: asyncio.Queue[Event], timeout: float | None) -> Event | None:
    """An event, at once if there is one, or None if none comes within the timeout."""
    if not events.empty():
        return events.get_nowait()
    try:
        return await asyncio.wait_for(events.get(), timeout)
    except asyncio.TimeoutError:
        return None


async def _each(images: Iterable[Image | Item]) -> AsyncIterator[Image | Item]:
    for image in images:
        yield image


async def _read_source(
    images: Iterable[Image | Item] | AsyncIterable[Image | Item],
    places: asyncio.Semaphore,
    prepare: Callable[[Image | Item], Prepared],
    events: asyncio.Queue[Event],
) -> None:
    """Reads the images, one for each of the places that are given."""
    try:
        source = aiter(images) if isinstance(images, AsyncIterable) else _each(images)
        while True:
            await places.acquire()
            try:
                image = await anext(source)
            except StopAsyncIteration:
                break
            events.put_nowait(Read(await asyncio.to_thread(prepare, image)))
        events.put_nowait(SourceEnded(None))
    except Exception as error:
        # Raised where the caller waits.
        events.put_nowait(SourceEnded(error))


class _Attempt:
    """One EmbedStream call, with a task that sends and one that receives. The last of its events is AttemptEnded."""

    def __init__(self, to: Any, metadata: list[tuple[str, str]], events: asyncio.Queue[Event]) -> None:
        self._requests: asyncio.Queue[pb.EmbedStreamRequest | None] = asyncio.Queue()
        self._events = events
        stream = to.stream_stream(
            f"/{channel.SERVICE}/EmbedStream",
            request_serializer=pb.EmbedStreamRequest.SerializeToString,
            response_deserializer=pb.EmbedStreamResponse.FromString,
        )
        self._call = stream(self._sent(), metadata=metadata)
        self._reader = asyncio.create_task(self._read())

    def send(self, request: pb.EmbedStreamRequest) -> None:
        self._requests.put_nowait(request)

    def done_sending(self) -> None:
        self._requests.put_nowait(None)

    async def end_in_order(self) -> None:
        self.done_sending()
        await asyncio.wait([self._reader], timeout=_END_IN_ORDER)

    def end(self) -> None:
        """Cancels what has not ended."""
        self.done_sending()
        self._call.cancel()
        self._reader.cancel()

    async def _sent(self) -> AsyncIterator[pb.EmbedStreamRequest]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def _read(self) -> None:
        try:
            async for response in self._call:
                self._events.put_nowait(response)
            self._events.put_nowait(AttemptEnded(None))
        except grpc.RpcError as error:
            self._events.put_nowait(AttemptEnded(error))
