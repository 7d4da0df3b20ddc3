"""Switches off, one by one, what the promises rest on: a run that stays green without any of them would show nothing.

A file in the folder that POINTS names switches one off while it is there: `no-fencing`, `no-insert-only`, `no-renew`,
`no-nudge`, `no-reconciler`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from progrock.delay import Lease, NewEntry, Outcome, RedisStore

_FOLDER = Path(os.environ["POINTS"])


def _off(name: str) -> bool:
    return (_FOLDER / f"no-{name}").exists()


def prepare() -> None:
    """Put the switches in."""
    _fencing()
    _insert_only()
    _renew()
    _nudge()
    _reconciler()


def _fencing() -> None:
    """Renew and settle take any receipt."""
    renew, settle = RedisStore.renew, RedisStore.settle

    async def renew_any(self: RedisStore, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        renewed = await renew(self, leases, duration, reader)
        if _off("fencing"):
            for at, lease in enumerate(leases):
                if renewed[at] is None and (now := await _current(self, lease)):
                    (renewed[at],) = await renew(self, [now], duration, reader)
        return renewed

    async def settle_any(self: RedisStore, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        accepted = await settle(self, outcomes)
        if _off("fencing"):
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
            return replace(lease, receipt=int(score), reader=place.decode().partition(":at:")[2])
    return None


def _insert_only() -> None:
    """Schedule replaces what is there."""
    schedule = RedisStore.schedule

    async def replacing(self: RedisStore, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        return await schedule(self, entries, replace=replace or _off("insert-only"))

    RedisStore.schedule = replacing  # type: ignore[method-assign]


def _renew() -> None:
    """A worker does not renew what it holds."""
    from progrock.delay import SelfReschedulingConsumer

    renew = SelfReschedulingConsumer._renew

    async def sparing(self: SelfReschedulingConsumer) -> None:
        if not _off("renew"):
            await renew(self)

    SelfReschedulingConsumer._renew = sparing  # type: ignore[method-assign]


def _nudge() -> None:
    """Nudges are dropped."""
    nudge = RedisStore.nudge

    async def dropping(self: RedisStore, keys: Iterable[str]) -> int:
        return 0 if _off("nudge") else await nudge(self, keys)

    RedisStore.nudge = dropping  # type: ignore[method-assign]


def _reconciler() -> None:
    """The sweep finds nothing."""
    from progrock import reconcile

    mend = reconcile.mend

    async def blind(rows: list[Any]) -> tuple[int, int]:
        return (0, 0) if _off("reconciler") else await mend(rows)

    reconcile.mend = blind
