"""The real store, which tells what it gives and takes, and where its process can be made to die."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from progrock.delay import Again, Done, Lease, Outcome, RedisStore
from tests.faults.chains import CHANNEL, step_of
from tests.faults.events import Event, event, tell
from tests.faults.project.strike import strike


class FaultyStore(RedisStore):
    """A store with a hand-off lease as short as the test wants it."""

    _present = False
    _hand_off = int(os.environ["HAND_OFF"])

    async def lease(self, limit: int, duration: int, gap: int = 0) -> list[Lease]:
        leases = await super().lease(limit, self._hand_off, gap)
        tell(*(_told("leased", lease) for lease in leases))
        await _strike("after", "lease", leases)
        return leases

    async def renew(self, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        await _strike("before", "renew", leases)
        renewed = await super().renew(leases, duration, reader)
        pairs = zip(leases, renewed, strict=True)
        tell(*(_told("renewed", new) if new else _told("stale", old) for old, new in pairs))
        await _strike("after", "renew", leases)
        return renewed

    async def settle(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        leases = [lease for lease, _ in outcomes]
        await _strike("before", "settle", leases)
        asked = time.monotonic_ns()
        accepted = await super().settle(outcomes)
        pairs = zip(outcomes, accepted, strict=True)
        tell(*(_told(_of(outcome) if mine else "refused", lease, asked) for (lease, outcome), mine in pairs))
        await _strike("after", "settle", leases)
        return accepted

    async def announce(self, channel: str, reader: str, slots: int, ttl: int) -> None:
        await super().announce(channel, reader, slots, ttl)
        if channel == CHANNEL:
            self._tell_once(reader)

    async def beat(self, scheduler: str, ttl: int) -> None:
        await super().beat(scheduler, ttl)
        self._tell_once(scheduler)

    def _tell_once(self, name: str) -> None:
        if not self._present:
            self._present = True
            tell(event("present", key=name))


async def _strike(when: str, what: str, leases: Sequence[Lease]) -> None:
    """Count those of chains only: a scheduler's process has leases of its own."""
    if any(lease.channel == CHANNEL for lease in leases):
        await strike(when, what)


def _of(outcome: Outcome) -> str:
    on = isinstance(outcome, Done) or (isinstance(outcome, Again) and outcome.message is not None)
    return "settled" if on else "returned"


def _told(what: str, lease: Lease, asked: int = 0) -> Event:
    step, late = step_of(lease.message), lease.at - lease.due
    return event(what, key=lease.key, step=step, receipt=lease.receipt, attempt=lease.attempt, late=late, asked=asked)
