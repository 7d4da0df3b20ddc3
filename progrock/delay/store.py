"""The contract of a delay store: where entries wait until they are due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from .entry import Entry, Lease, NewEntry, Outcome, Status


class DelayStore(ABC):
    """Entries by key, each with one due time, which is also its lease and the proof of it.

    Every method is atomic for each entry, may be called by any number of processes at once, and takes a batch.
    The store's clock is the only clock, in whole microseconds, and never steps back.

    An entry is *waiting* until it is due, *handed* from `lease` to the first `renew`, and *running* from there
    to its `settle`. Handed and running are holds: they end by themselves, and the entry is due again. A *dead* one
    is never due.

    :raises StoreAway: each method, if the store does not answer; what it was asked may have been done or not.
    """

    @abstractmethod
    async def schedule(self, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        """Insert entries; one whose key is there already is left alone.

        :param replace: forget what is there of these keys first, held or not.
        :returns: for each, its due time, which is a receipt to whoever renews it before it is leased, or None if
            its key was there.
        """

    @abstractmethod
    async def lease(self, limit: int, duration: int, gap: int = 0) -> list[Lease]:
        """Hand what is due, oldest first, to readers with a free slot, each entry held for `duration` ms.

        An entry of a channel without a free slot stays due. One whose run was lost has its attempt counted up.

        :param gap: milliseconds from a lease that gave less than its limit, in which no other gives anything, whoever
            asks: so that batches form.
        """

    @abstractmethod
    async def renew(self, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        """Hold entries for `duration` ms from now on, as running with `reader`, if the leases still hold them.

        The first renew of a lease tells whether the entry was nudged; a nudge that comes later waits for the settle.

        :returns: for each, the new lease, or None if the receipt is no longer the entry's.
        """

    @abstractmethod
    async def settle(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        """Give entries back, if the leases still hold them.

        An entry that was nudged while it was running comes due at once, whatever the outcome's delay.

        :returns: for each, whether it was accepted.
        """

    @abstractmethod
    async def nudge(self, keys: Iterable[str]) -> int:
        """Ask for a look: a waiting entry is due now, a held one as soon as it is settled.

        :returns: how many of the keys there are.
        """

    @abstractmethod
    async def peek(self, keys: Sequence[str]) -> list[Entry | None]:
        """Return entries as they stand, None for a key that is not there."""

    @abstractmethod
    async def remove(self, keys: Iterable[str]) -> int:
        """Forget entries, held or not.

        :returns: how many there were.
        """

    @abstractmethod
    async def stand(self, entries: Sequence[NewEntry]) -> bool:
        """Insert those of the entries that must always exist which this store has not seen yet.

        A store that was made new, flushed or replaced has seen none.

        :returns: whether it had to insert any.
        """

    @abstractmethod
    async def announce(self, channel: str, reader: str, slots: int, ttl: int) -> None:
        """Say that `reader` takes up to `slots` entries of `channel` at a time.

        The reader is forgotten after `ttl` ms unless it says so again. With 0 slots it is at once, and what it was
        handed and has not renewed waits again, due now. How many it has is counted by the store, from the leases that
        it was handed and has not settled.
        """

    @abstractmethod
    async def beat(self, scheduler: str, ttl: int) -> None:
        """Say that a scheduler is alive; it is forgotten after `ttl` ms unless it says so again, at once with 0."""

    @abstractmethod
    async def dead(self, limit: int) -> list[Entry]:
        """Return dead entries, those first that died first."""

    @abstractmethod
    async def revive(self, keys: Iterable[str]) -> int:
        """Make dead entries due now, as if they were new.

        :returns: how many of the keys were dead.
        """

    @abstractmethod
    async def bury(self, keys: Iterable[str]) -> int:
        """Forget dead entries. One that was revived meanwhile, or put in the place of a dead one, is none.

        :returns: how many of the keys were dead.
        """

    @abstractmethod
    async def sleep(self, cap: int) -> None:
        """Return once something can be leased, at the latest after `cap` ms."""

    @abstractmethod
    async def depth(self) -> int:
        """Return how many entries there are."""

    @abstractmethod
    async def status(self) -> Status:
        """Return what is in the store, for people who look after it."""

    async def check(self) -> None:  # noqa: B027 (most stores have nothing to check)
        """Make sure that this store keeps what it is given.

        :raises StoreUnfit: if it would not, saying what to change.
        """

    async def aclose(self) -> None:  # noqa: B027 (nor to let go of)
        """Let go of the running event loop's connections."""
