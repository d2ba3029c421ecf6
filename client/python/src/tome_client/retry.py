"""When a failed call is sent again."""

from __future__ import annotations

import dataclasses

import grpc


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """Only two failures are worth another attempt:

    - RESOURCE_EXHAUSTED with the server's grpc-retry-pushback-ms: its queue was full, and it says for how long.
      Without the hint it may mean a message over the limit, which stays over it. A call that is refused again waits
      for its backoff if that is longer: the hint does not know how many others come back for the same place.
    - UNAVAILABLE: no connection, or a server that starts or drains.

    The backoff doubles from retry to retry. Embedding changes nothing on the server, so that sending twice is safe.
    Times are in seconds.
    """

    max_pushback_retries: int = 50
    max_unavailable_retries: int = 7
    initial_backoff: float = 0.1
    max_backoff: float = 5.0



class Retries:
    """The retries of one call. Not thread-safe."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._pushback = 0
        self._unavailable = 0

    @property
    def count(self) -> int:
        """Waits granted so far."""
        return self._pushback + self._unavailable

    def next(self, code: grpc.StatusCode, pushback: str | None, jitter: float, remaining: float) -> float | None:
        """Seconds to wait before the call is sent again, or None if its failure is final.

        `pushback` is the value of the grpc-retry-pushback-ms trailer, if there was one. `jitter`, in [0, 1) and random,
        spreads clients that were refused together: a hint is stretched by up to a quarter, a backoff varies by a
        quarter to either side. A wait that would reach the deadline, `remaining` seconds from now, is not begun.
        """
        policy = self._policy
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            # gRPC's convention: a value that is negative or no number asks not to retry at all.
            if pushback is None or not (pushback.isascii() and pushback.isdigit()):
                return None
            if self._pushback == policy.max_pushback_retries:
                return None
            wait = int(pushback) / 1000
            if self._pushback > 0:
                wait = max(wait, self._backoff(self._pushback - 1))
            wait *= 1 + 0.25 * jitter
            if wait >= remaining:
                return None
            self._pushback += 1
            return wait
        if code == grpc.StatusCode.UNAVAILABLE:
            if self._unavailable == policy.max_unavailable_retries:
                return None
            wait = self._backoff(self._unavailable) * (0.75 + 0.5 * jitter)
            if wait >= remaining:
                return None
            self._unavailable += 1
            return wait
        return None

    def _backoff(self, retry: int) -> float:
        # Beyond 2**30 any backoff has reached its maximum.
        return min(self._policy.initial_backoff * 2.0 ** min(retry, 30), self._policy.max_backoff)
