"""A token bucket: what may be done so often a second, and so often at once after a quiet while."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """It is full at the beginning.

    :param rate: tokens a second.
    :param burst: how many it holds.
    :param clock: the time, in seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> bool:
        """Take one if there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
