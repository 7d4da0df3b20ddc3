"""The circuit breaker: whether a service that does not answer is to be called now. Pure: times are given."""

from __future__ import annotations

from ..step import Miss, Policy

FAILURES = 5
"""How many calls in a row must fail until no more are made."""
PROBE_MOST = 20_000_000
"""Microseconds after which a probe whose end nobody told is forgotten: longer than any call takes."""
HOLD_MOST = 86_400_000
"""Milliseconds that a service may ask for: what is more is a mistake that nobody would find."""
_ASK_AGAIN = 500
"""Milliseconds until those ask again who come while a probe is under way, and in which they come at least."""
_SPREAD_MOST = 10_000
"""Milliseconds in which they come at most."""
_SLACK = 60_000_000
"""Microseconds by which two steps may be apart; what is further back is the clock of another store."""


class Breaker:
    """What one process knows of one service. Times are whole microseconds of the store's clock.

    Closed, it lets every call through. After some calls in a row without an answer it opens, and one call is made after
    a back-off, the probe; an answer closes it, and another failure doubles the back-off. A service that says when to
    come again is not called before, not even once.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._rounds = 0
        self._at = 0
        # When the back-off ends, what the service asked for, and the wait for a probe's end; 0 if there is none.
        self._until = 0
        self._hold = 0
        self._probing = 0
        self._message = ""

    @property
    def open(self) -> bool:
        """Whether calls are held back, but for a probe."""
        return self._until > 0 or self._hold > 0

    def admit(self, calls: int, now: int) -> int:
        """Return how many of so many calls may be made now. Where one is a probe, its end must be told."""
        if not self.open or not calls:
            return calls
        if now < self._at - _SLACK:
            self._until = self._at = now
            self._hold = self._probing = 0
        if now < max(self._until, self._hold, self._probing):
            return 0
        self._probing = now + PROBE_MOST
        return 1

    def answer(self, now: int, jitter: float) -> Miss:
        """Return what is said without a call.

        :param jitter: a random number from 0 to 1, by which looks are spread over a while after the probe, the longer
            the longer the wait: a service that has just come back is not called by all at once.
        """
        rest = max(0, max(self._until, self._hold) - now) // 1000
        spread = min(max(_ASK_AGAIN, rest // 2), _SPREAD_MOST)
        again = 1 + rest + int(spread * jitter) if rest else _ASK_AGAIN
        return Miss("unreachable", self._message, again, heard=False)

    def heard(self, now: int) -> None:
        """Note that the service has answered a call. What it asked for stands: others were still under way."""
        self._failures = self._rounds = self._until = self._probing = 0
        if now >= self._hold:
            self._hold = 0

    def failed(self, miss: Miss, policy: Policy, now: int, jitter: float) -> None:
        """Note that it has not answered one.

        :param jitter: a random number from 0 to 1, by which the probes of many processes are spread.
        """
        self._failures += 1
        self._at = now
        self._message = miss.message
        probe, self._probing = self._probing, 0
        if miss.again is not None and miss.again > 0:
            self._hold = max(self._hold, now + min(miss.again, HOLD_MOST) * 1000)
        elif probe or (not self.open and self._failures >= FAILURES):
            back_off = min(policy.retry_most, policy.retry * 2 ** min(self._rounds, 20))
            self._rounds += 1
            self._until = max(self._until, now + int(back_off * (1 + jitter) / 2 * 1000))

    def dropped(self) -> None:
        """Note that a call that was let through was not made, or nobody knows what came of it."""
        self._probing = 0
