"""The real store, which tells what it gives and takes, with places before and after each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from progrock import registry
from progrock.delay import Done, Lease, NewEntry, Outcome, RedisStore
from tests.chaos.project.points import pass_by
from tests.faults.events import Event, event, tell


class ChaosStore(RedisStore):
    """Tells of jobs only: standing entries are nobody's."""

    _present = False

    async def schedule(self, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        receipts = await super().schedule(entries, replace=replace)
        pairs = zip(entries, receipts, strict=True)
        tell(*(event("scheduled", key=new.key, receipt=receipt) for new, receipt in pairs if receipt is not None))
        return receipts

    async def lease(self, limit: int, duration: int, gap: int = 0) -> list[Lease]:
        await pass_by("before-lease")
        asked = time.monotonic_ns()
        leases = await super().lease(limit, duration, gap)
        mine = [lease for lease in leases if _is_job(lease)]
        tell(*(_told("leased", lease, asked) for lease in mine))
        if mine:
            await pass_by("after-lease")
        return leases

    async def renew(self, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        if not any(map(_is_job, leases)):
            return await super().renew(leases, duration, reader)
        await pass_by("before-renew")
        asked = time.monotonic_ns()
        renewed = await super().renew(leases, duration, reader)
        pairs = [(old, new) for old, new in zip(leases, renewed, strict=True) if _is_job(old)]
        tell(
            *(_told("renewed", new, asked, old.receipt) if new else _told("refused", old, asked) for old, new in pairs)
        )
        await pass_by("after-renew")
        return renewed

    async def settle(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        if not any(_is_job(lease) for lease, _ in outcomes):
            return await super().settle(outcomes)
        what = "done" if any(isinstance(outcome, Done) for _, outcome in outcomes) else "settle"
        await pass_by(f"before-{what}")
        asked = time.monotonic_ns()
        accepted = await super().settle(outcomes)
        tell(
            *(
                _told(_word(outcome) if taken else "refused", lease, asked, lease.receipt)
                for (lease, outcome), taken in zip(outcomes, accepted, strict=True)
                if _is_job(lease)
            )
        )
        await pass_by(f"after-{what}")
        return accepted

    async def announce(self, channel: str, reader: str, slots: int, ttl: int) -> None:
        await super().announce(channel, reader, slots, ttl)
        if channel == registry.CHANNEL:
            self._tell_once(reader)

    async def beat(self, scheduler: str, ttl: int) -> None:
        await super().beat(scheduler, ttl)
        self._tell_once(scheduler)

    def _tell_once(self, name: str) -> None:
        if not self._present:
            self._present = True
            tell(event("present", key=name))


def _is_job(lease: Lease) -> bool:
    # A job's key is its UUID, those of standing entries are shorter.
    return lease.channel == registry.CHANNEL and len(lease.key) == 36


def _word(outcome: Outcome) -> str:
    return "done" if isinstance(outcome, Done) else "settled"


def _told(what: str, lease: Lease, asked: int, given: int = 0) -> Event:
    return event(what, key=lease.key, receipt=lease.receipt, attempt=lease.attempt, asked=asked, given=given)
