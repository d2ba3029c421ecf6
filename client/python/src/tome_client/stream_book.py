"""What of a stream is unanswered: the part of streaming that sync and asyncio share. Neither sends nor waits."""

from __future__ import annotations

import collections
import dataclasses
import random
from typing import Union

import grpc

from tome_client import errors
from tome_client.embedding import EmbedOptions, Image, Item, Outcome, Schedule, as_item, embed_request, outcome_of
from tome_client.errors import TomeError
from tome_client.retry import Retries, RetryPolicy
from tome_client.v1 import embedding_pb2 as pb


# An image as it is sent, or why it cannot be.
Prepared = Union[pb.EmbedRequest, TomeError]


@dataclasses.dataclass(frozen=True)
class Read:
    """The next image of the source."""

    image: Prepared


@dataclasses.dataclass(frozen=True)
class SourceEnded:
    """No more images: it had no more, or failed."""

    error: BaseException | None


@dataclasses.dataclass(frozen=True)
class AttemptEnded:
    """No more answers of this attempt; without an error the server ended it."""

    error: grpc.RpcError | None


# What a stream waits for, in the order of its coming.
Event = Union[Read, SourceEnded, pb.EmbedStreamResponse, AttemptEnded]

# A stream's id, timeout and tags around a request.
_MESSAGE_OVERHEAD = 64


@dataclasses.dataclass
class _Unanswered:
    request: pb.EmbedStreamRequest
    deadline: float
    sent: bool = False  # in this attempt
    retries: int = 0


class StreamBook:
    """Images get ids 0, 1, ... Each is answered once: by the server, by its deadline, or by an attempt's end that no
    other can mend. An attempt is one EmbedStream call; what it leaves unanswered, the next one sends again. Times are
    of one monotonic clock, in seconds. Not thread-safe, but for `prepare`.

    message_bytes  a larger message would end the stream, and what else it carries with it; 0 where that is not known
    """

    def __init__(
        self,
        r: Schedule | None,
        options: EmbedOptions,
        timeout: float,
        policy: RetryPolicy,
        request_id: str,
        message_bytes: int,
    ) -> None:
        self._r = r
        self._options = options
        self._timeout = timeout
        self._policy = policy
        self._request_id = request_id
        self._message_bytes = message_bytes
        self._retries = Retries(policy)
        self._next_id = 0
        # In the order of their ids, which is also that of their deadlines.
        self._unanswered: collections.OrderedDict[int, _Unanswered] = collections.OrderedDict()
        # Whether this attempt may be given more: not after the server answered that it is not available.
        self.open = True

    def __len__(self) -> int:
        """Images that are unanswered."""
        return len(self._unanswered)

    def prepare(self, image: Image | Item) -> Prepared:
        """Reads a file. ValueError or TypeError for what is no image."""
        item = as_item(image)
        try:
            request = embed_request(item.image, self._r if item.r is None else item.r, self._options)
        except OSError as error:
            return errors.from_file(error, self._request_id)
        size = request.ByteSize() + _MESSAGE_OVERHEAD
        if self._message_bytes and size > self._message_bytes:
            message = f"the image's message has {size} bytes, the server takes at most {self._message_bytes}"
            return self._error(grpc.StatusCode.INVALID_ARGUMENT, message, 0)
        return request

    def take(self, event: Read | pb.EmbedStreamResponse | None, now: float) -> list[tuple[int, Outcome]]:
        """The outcomes that come of it. None: nothing came within `seconds_left`; only then do images expire, so that
        answers that wait while the caller is busy count."""
        if event is None:
            return self._expired(now)
        return self._add(event.image, now) if isinstance(event, Read) else self._answered(event)

    def _add(self, prepared: Prepared, now: float) -> list[tuple[int, Outcome]]:
        """The outcome of an image that cannot be sent."""
        image_id = self._next_id
        self._next_id += 1
        if isinstance(prepared, TomeError):
            return [(image_id, prepared)]
        request = pb.EmbedStreamRequest(id=image_id, request=prepared)
        self._unanswered[image_id] = _Unanswered(request, now + self._timeout)
        return []

    def to_send(self, now: float) -> list[pb.EmbedStreamRequest]:
        """What this attempt has to send; each is told once an attempt."""
        requests = []
        for image in self._unanswered.values() if self.open else ():
            if not image.sent:
                image.sent = True
                image.request.timeout.FromMilliseconds(max(1, round((image.deadline - now) * 1000)))
                requests.append(image.request)
        return requests

    def _answered(self, response: pb.EmbedStreamResponse) -> list[tuple[int, Outcome]]:
        """The outcome of an image; none for an answer that came too late, or that asks to come back."""
        image = self._unanswered.get(response.id)
        if image is None:
            return []
        outcome = outcome_of(response.model, response.result, self._request_id, image.retries)
        if isinstance(outcome, TomeError):
            outcome.retries = image.retries
            if outcome.code == grpc.StatusCode.UNAVAILABLE and image.retries < self._policy.max_unavailable_retries:
                self.open = False
                return []
        # A server that answers is there: what counts is how often it is not, one time after the other.
        self._retries = Retries(self._policy)
        del self._unanswered[response.id]
        return [(response.id, outcome)]

    def wait_before_next_attempt(self, error: grpc.RpcError | None, now: float) -> float | None:
        """After an attempt that ended, with no error if the server ended it: seconds to wait, or None if what it left
        unanswered has failed for good."""
        code = grpc.StatusCode.UNAVAILABLE if error is None else error.code()
        pushback = None if error is None else errors.pushback_of(error)
        latest = next(reversed(self._unanswered.values()), None)
        remaining = 0.0 if latest is None else latest.deadline - now
        wait = self._retries.next(code, pushback, random.random(), remaining)
        if wait is not None:
            self.open = True
            for image in self._unanswered.values():
                image.retries += image.sent
                image.sent = False
        return wait

    def fail_sent(self, error: grpc.RpcError | None) -> list[tuple[int, Outcome]]:
        """The images that ended with their attempt. The next one starts afresh."""
        self.open = True
        self._retries = Retries(self._policy)
        failed: list[tuple[int, Outcome]] = []
        for image_id, image in list(self._unanswered.items()):
            if image.sent:
                del self._unanswered[image_id]
                failed.append((image_id, self._ended(error, image.retries)))
        return failed

    def _expired(self, now: float) -> list[tuple[int, Outcome]]:
        """The images whose time is over."""
        late: list[tuple[int, Outcome]] = []
        while self._unanswered and next(iter(self._unanswered.values())).deadline <= now:
            image_id, image = self._unanswered.popitem(last=False)
            message = f"no answer within {self._timeout:g} s"
            late.append((image_id, self._error(grpc.StatusCode.DEADLINE_EXCEEDED, message, image.retries)))
        return late

    def seconds_left(self, now: float) -> float | None:
        """Until the next image expires; None where none is unanswered."""
        first = next(iter(self._unanswered.values()), None)
        return None if first is None else max(first.deadline - now, 0.0)

    def _ended(self, error: grpc.RpcError | None, retries: int) -> TomeError:
        if error is None:
            return self._error(grpc.StatusCode.UNAVAILABLE, "the server ended the stream", retries)
        return errors.from_call(error, self._timeout, self._request_id, retries)

    def _error(self, code: grpc.StatusCode, message: str, retries: int) -> TomeError:
        return TomeError(code, message, request_id=self._request_id, retries=retries)
