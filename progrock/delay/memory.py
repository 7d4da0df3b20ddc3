"""A delay store in the memory of one process: a heap and a dict."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

from .entry import Again, Entry, Lease, NewEntry, Outcome
from .store import DelayStore


class _Hold(Enum):
    WAITING = auto()
    HANDED = auto()
    RUNNING = auto()


class _Slot:
    """What the store knows of one key."""

    __slots__ = ("attempt", "channel", "due", "hold", "message", "nudged", "reader")

    due: int

    def __init__(self, new: NewEntry) -> None:
        self.channel = new.channel
        self.message = new.message
        self.hold = _Hold.WAITING
        self.attempt = 1
        self.nudged = False
        self.reader = ""


class _Sleeper:
    """A scheduler that sleeps until `until`, in a loop that may be another thread's."""

    def __init__(self, until: int) -> None:
        self.until = until
        self._loop = asyncio.get_running_loop()
        self.woken = self._loop.create_future()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


def wall_clock() -> Callable[[], int]:
    """Return a clock of microseconds since 1970 that never steps back, whatever happens to the host's."""
    start = time.time_ns() - time.monotonic_ns()
    return lambda: (start + time.monotonic_ns()) // 1000


class MemoryStore(DelayStore):
    """Entries in this process. Safe to use from any thread and any event loop of it.

    :param clock: returns whole microseconds.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._now = clock or wall_clock()
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}
        # One heap a channel, so that a channel without free slots does not stand in another's way. A pair whose due
        # time is no longer the slot's is stale and skipped.
        self._heaps: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._readers: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        self._taken: Counter[str] = Counter()
        # When each hold ends, so that one that ended unsettled does not go on taking its reader's slot.
        self._ends: list[tuple[int, str]] = []
        self._sleepers: set[_Sleeper] = set()
        self._stood = False

    async def schedule(self, entries: Sequence[NewEntry]) -> list[int | None]:
        with self._lock:
            return self._insert(entries)

    async def stand(self, entries: Sequence[NewEntry]) -> bool:
        with self._lock:
            if self._stood:
                return False
            self._stood = True
            self._insert(entries)
            return True

    def _insert(self, entries: Sequence[NewEntry]) -> list[int | None]:
        now = self._now()
        receipts: list[int | None] = []
        for new in entries:
            if new.key in self._slots:
                receipts.append(None)
                continue
            slot = self._slots[new.key] = _Slot(new)
            self._move(new.key, slot, now + new.delay * 1000)
            receipts.append(slot.due)
        self._wake(now)
        return receipts

    async def lease(self, limit: int, duration: int) -> list[Lease]:
        with self._lock:
            now = self._now()
            leases: list[Lease] = []
            while len(leases) < limit and (head := self._next(now)) and head[0] <= now:
                due, key, reader = head
                slot = self._slots[key]
                heapq.heappop(self._heaps[slot.channel])
                if slot.hold is _Hold.RUNNING:
                    slot.attempt += 1
                self._hold(key, slot, _Hold.HANDED, reader, now + duration * 1000)
                leases.append(self._lease(key, slot, due, now))
            return leases

    async def renew(self, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        with self._lock:
            now = self._now()
            renewed: list[Lease | None] = []
            for lease in leases:
                slot = self._held_by(lease)
                if slot is None:
                    renewed.append(None)
                    continue
                running = slot.hold is _Hold.RUNNING
                self._hold(lease.key, slot, _Hold.RUNNING, reader, now + duration * 1000)
                renewed.append(self._lease(lease.key, slot, lease.due, now))
                if not running:
                    slot.nudged = False  # the step that begins now has been told
            return renewed

    async def settle(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        with self._lock:
            now = self._now()
            accepted = []
            for lease, outcome in outcomes:
                slot = self._held_by(lease)
                accepted.append(slot is not None)
                if slot is None:
                    continue
                if not isinstance(outcome, Again):
                    self._forget(lease.key, slot)
                    continue
                nudged = slot.nudged and slot.hold is _Hold.RUNNING
                slot.hold = _Hold.WAITING
                self._assign(slot, "")
                slot.attempt = outcome.attempt
                if outcome.message is not None:
                    slot.message = outcome.message
                slot.nudged |= outcome.nudged
                due = now + (0 if nudged else outcome.delay * 1000)
                self._move(lease.key, slot, due if due != lease.receipt else due + 1)
            self._wake(now)
            return accepted

    async def nudge(self, keys: Iterable[str]) -> int:
        with self._lock:
            now = self._now()
            found = 0
            for key in keys:
                slot = self._slots.get(key)
                if slot is None:
                    continue
                found += 1
                slot.nudged = True
                if slot.hold is _Hold.WAITING and slot.due > now:
                    self._move(key, slot, now)
            self._wake(now)
            return found

    async def peek(self, keys: Sequence[str]) -> list[Entry | None]:
        with self._lock:
            now = self._now()
            entries: list[Entry | None] = []
            for key in keys:
                slot = self._slots.get(key)
                if slot is None:
                    entries.append(None)
                    continue
                held = slot.hold is not _Hold.WAITING and slot.due > now
                entries.append(Entry(key, slot.channel, slot.message, slot.due, held, slot.attempt))
            return entries

    async def remove(self, keys: Iterable[str]) -> int:
        with self._lock:
            found = 0
            for key in keys:
                slot = self._slots.get(key)
                if slot is not None:
                    self._forget(key, slot)
                    found += 1
            self._wake(self._now())
            return found

    async def announce(self, channel: str, reader: str, slots: int, ttl: int) -> None:
        with self._lock:
            now = self._now()
            if slots > 0:
                self._readers[channel][reader] = (slots, now + ttl * 1000)
            else:
                self._readers[channel].pop(reader, None)
            self._wake(now)

    async def sleep(self, cap: int) -> None:
        with self._lock:
            now = self._now()
            head = self._next(now)
            until = min(now + cap * 1000, head[0] if head else now + cap * 1000)
            if until <= now:
                return
            sleeper = _Sleeper(until)
            self._sleepers.add(sleeper)
        try:
            # Not wait_for: on Python 3.11 it loses a cancellation that comes together with the result.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((until - now) / 1_000_000):
                    await sleeper.woken
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)

    async def depth(self) -> int:
        with self._lock:
            return len(self._slots)

    def _lease(self, key: str, slot: _Slot, due: int, at: int) -> Lease:
        return Lease(key, slot.channel, slot.message, slot.due, due, at, slot.attempt, slot.nudged, slot.reader)

    def _held_by(self, lease: Lease) -> _Slot | None:
        slot = self._slots.get(lease.key)
        return slot if slot is not None and slot.due == lease.receipt else None

    def _move(self, key: str, slot: _Slot, due: int) -> None:
        slot.due = due
        heap = self._heaps[slot.channel]
        heapq.heappush(heap, (due, key))
        # Holds that are renewed and settled leave stale pairs that do not come up for a while yet.
        if len(heap) > 4 * len(self._slots) + 1000:
            heap[:] = [(s.due, k) for k, s in self._slots.items() if s.channel == slot.channel]
            heapq.heapify(heap)
        if len(self._ends) > 4 * len(self._slots) + 1000:
            self._ends = [(s.due, k) for k, s in self._slots.items() if s.hold is not _Hold.WAITING]
            heapq.heapify(self._ends)

    def _hold(self, key: str, slot: _Slot, hold: _Hold, reader: str, until: int) -> None:
        slot.hold = hold
        self._assign(slot, reader)
        # A receipt is never used twice, even by a clock that stands still.
        self._move(key, slot, max(until, slot.due + 1))
        heapq.heappush(self._ends, (slot.due, key))

    def _assign(self, slot: _Slot, reader: str) -> None:
        if slot.reader:
            self._taken[slot.reader] -= 1
        slot.reader = reader
        if reader:
            self._taken[reader] += 1

    def _forget(self, key: str, slot: _Slot) -> None:
        self._assign(slot, "")
        del self._slots[key]

    def _next(self, now: int) -> tuple[int, str, str] | None:
        """Return due time, key and reader of what can be leased next, due or not."""
        while self._ends and self._ends[0][0] <= now:
            due, key = heapq.heappop(self._ends)
            if (slot := self._slots.get(key)) is not None and slot.due == due:
                self._assign(slot, "")
        best: tuple[int, str, str] | None = None
        for channel, heap in self._heaps.items():
            while heap and ((slot := self._slots.get(heap[0][1])) is None or slot.due != heap[0][0]):
                heapq.heappop(heap)
            if heap and (best is None or heap[0][0] < best[0]) and (reader := self._free_reader(channel, now)):
                best = (*heap[0], reader)
        return best

    def _free_reader(self, channel: str, now: int) -> str | None:
        """Return the reader of the channel with the most free slots."""
        readers = self._readers.get(channel, {})
        for reader in [reader for reader, (_, until) in readers.items() if until <= now]:
            del readers[reader]
        if not readers:
            return None
        free, reader = max((slots - self._taken[reader], reader) for reader, (slots, _) in readers.items())
        return reader if free > 0 else None

    def _wake(self, now: int) -> None:
        if self._sleepers and (head := self._next(now)):
            for sleeper in [sleeper for sleeper in self._sleepers if head[0] < sleeper.until]:
                self._sleepers.discard(sleeper)
                sleeper.wake()
