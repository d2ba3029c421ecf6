"""The asyncio client: the same calls as tome_client.Client, awaited."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
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
        """An embedding, or the error, of each image, in their order. They are sent in as many EmbedBatch calls as the
        server's limits ask for, each with the timeout; a call that fails gives its error to each of its images."""
        places = asyncio.Semaphore(calls_at_once)

        async def one(request: pb.EmbedBatchRequest) -> list[Outcome]:
            async with places:
                try:
                    response, request_id, retries = await self._call(
                        "EmbedBatch", request, pb.EmbedBatchResponse, timeout
                    )
                except TomeError as error:
                    return [error] * len(request.items)
            return [outcome_of(response.model, result, request_id, retries) for result in response.results]

        listed = list(images)
        if not listed:
            return []
        limits = await self._limits_of(options.model, timeout)
        batches = await asyncio.gather(*(one(request) for request in batch_requests(listed, r, options, limits)))
        return [outcome for outcomes in batches for outcome in outcomes]

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
        call, in constant memory. At most `window` images are unanswered at once. `timeout` is of each image. What a
        stream that broke, or a server that drains, left unanswered is sent again."""
        request_id = channel.new_request_id()
        book = StreamBook(r, options, timeout, self._retry, request_id)
        source = aiter(images) if isinstance(images, AsyncIterable) else _aiter(images)
        exhausted = False
        attempt: _Attempt | None = None
        try:
            while True:
                while not exhausted and len(book) < window:
                    try:
                        book.add(await anext(source), time.monotonic())
                    except StopAsyncIteration:
                        exhausted = True
                if len(book) == 0:
                    return
                if attempt is None:
                    attempt = _Attempt(self._channel, channel.metadata(self._bearer_token, request_id))
                for request in book.to_send(time.monotonic()):
                    attempt.send(request)
                if not book.open:
                    attempt.done_sending()
                event = await attempt.next_event(book.next_deadline() - time.monotonic())
                answered: list[tuple[int, Outcome]] = []
                if isinstance(event, pb.EmbedStreamResponse):
                    answered = book.answered(event)
                elif event is not None:
                    attempt.end()
                    attempt = None
                    error = event.error
                    wait = book.wait_before_next_attempt(error, time.monotonic())
                    if wait is None:
                        answered = book.fail_sent(error)
                    else:
                        await asyncio.sleep(wait)
                for outcome in answered + book.expired(time.monotonic()):
                    yield outcome
        finally:
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


async def _aiter(images: Iterable[Image | Item]) -> AsyncIterator[Image | Item]:
    for image in images:
        yield image


class _Ended:
    def __init__(self, error: grpc.RpcError | None) -> None:
        self.error = error


class _Attempt:
    """One EmbedStream call, with a task that sends and one that receives."""

    def __init__(self, to: Any, metadata: list[tuple[str, str]]) -> None:
        self._requests: asyncio.Queue[pb.EmbedStreamRequest | None] = asyncio.Queue()
        self._events: asyncio.Queue[pb.EmbedStreamResponse | _Ended] = asyncio.Queue()
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

    async def next_event(self, timeout: float) -> pb.EmbedStreamResponse | _Ended | None:
        """An answer, the end of the call, or None if neither comes within the timeout."""
        try:
            return await asyncio.wait_for(self._events.get(), max(timeout, 0))
        except asyncio.TimeoutError:
            return None

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
            self._events.put_nowait(_Ended(None))
        except grpc.RpcError as error:
            self._events.put_nowait(_Ended(error))
