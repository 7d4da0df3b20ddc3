"""Switches off, one by one, what the product's promises rest on: a run that stays green with any of them shows nothing.

SABOTAGE names them: fencing, insert_only, renew, nudge, reconciler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from progrock.delay import Lease, NewEntry, Outcome, RedisStore


def commit() -> None:
    """Do it."""
    for name in os.environ.get("SABOTAGE", "").split():
        SWITCHES[name]()


def _fencing() -> None:
    """Renew and settle take any receipt."""
    renew, settle = RedisStore.renew, RedisStore.settle

    async def renew_any(self: RedisStore, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        renewed = await renew(self, leases, duration, reader)
        for at, lease in enumerate(leases):
            if renewed[at] is None and (now := await _current(self, lease)):
                (renewed[at],) = await renew(self, [now], duration, reader)
        return renewed

    async def settle_any(self: RedisStore, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        accepted = await settle(self, outcomes)
        for at, (lease, outcome) in enumerate(outcomes):
            if not accepted[at] and (now := await _current(self, lease)):
                (accepted[at],) = await settle(self, [(now, outcome)])
        return accepted

    RedisStore.renew = renew_any  # type: ignore[method-assign]
    RedisStore.settle = settle_any  # type: ignore[method-assign]


async def _current(store: RedisStore, lease: Lease) -> Lease | None:
    """Return the lease as whoever has the entry now would hold it."""
    (tag,) = store._tags
    for place in await store._scripts.command("KEYS", f"{tag}:at:*"):
        score = await store._scripts.command("ZSCORE", place, lease.key)
        if score is not None:
            name = place.decode().partition(":at:")[2]
            return replace(lease, receipt=int(float(score)), reader=name)
    return None


def _insert_only() -> None:
    """Schedule replaces what is there."""
    schedule = RedisStore.schedule

    async def replacing(self: RedisStore, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        return await schedule(self, entries, replace=True)

    RedisStore.schedule = replacing  # type: ignore[method-assign]


def _renew() -> None:
    """A worker does not renew what it holds."""
    from progrock.delay.consumer import SelfReschedulingConsumer

    SelfReschedulingConsumer._renew = _nothing  # type: ignore[method-assign]


def _nudge() -> None:
    """Nudges are dropped."""

    async def drop(self: RedisStore, keys: Iterable[str]) -> int:
        return 0

    RedisStore.nudge = drop  # type: ignore[method-assign]


def _reconciler() -> None:
    """The sweep finds nothing."""
    from progrock import reconcile

    async def mend(rows: Sequence[Any]) -> tuple[int, int]:
        return 0, 0

    reconcile.mend = mend


async def _nothing(*args: Any) -> None:
    pass


SWITCHES: dict[str, Callable[[], None]] = {
    "fencing": _fencing,
    "insert_only": _insert_only,
    "renew": _renew,
    "nudge": _nudge,
    "reconciler": _reconciler,
}
