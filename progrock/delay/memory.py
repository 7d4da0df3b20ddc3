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

from .entry import Again, Dead, Entry, Lease, NewEntry, Outcome, Reader, Status
from .store import DelayStore


class _Hold(Enum):
    WAITING = auto()
    HANDED = auto()
    RUNNING = auto()
    DEAD = auto()


class _Stored:
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
        self._entries: dict[str, _Stored] = {}
        # One heap a channel, so that a channel without free slots does not stand in another's way. A pair whose due
        # time is no longer the entry's is stale and skipped.
        self._heaps: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._readers: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        self._taken: Counter[str] = Counter()
        # When each hold ends, so that one that ended unsettled does not go on taking its reader's slot.
        self._ends: list[tuple[int, str]] = []
        self._sleepers: set[_Sleeper] = set()
        self._dead: dict[str, str] = {}
        self._schedulers: dict[str, int] = {}
        self._open = 0
        self._stood: set[str] = set()

    async def schedule(self, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        with self._lock:
            return self._insert(entries, replace=replace)

    async def stand(self, entries: Sequence[NewEntry]) -> bool:
        with self._lock:
            missing = [new for new in entries if new.key not in self._stood]
            self._insert(missing)
            self._stood.update(new.key for new in missing)
            return bool(missing)

    def _insert(self, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        now = self._now()
        receipts: list[int | None] = []
        for new in entries:
            if (old := self._entries.get(new.key)) is not None:
                if not replace:
                    receipts.append(None)
                    continue
                self._forget(new.key, old)
            stored = self._entries[new.key] = _Stored(new)
            self._move(new.key, stored, now + new.delay * 1000)
            receipts.append(stored.due)
        self._wake(now)
        return receipts

    async def lease(self, limit: int, duration: int, gap: int = 0) -> list[Lease]:
        with self._lock:
            now = self._now()
            leases: list[Lease] = []
            if now < self._open:
                return leases
            self._release(now)
            # One reader is filled before the next gets any: a message for each would cost more than it brings.
            filling: dict[str, str] = {}
            while len(leases) < limit and (head := self._next(now)) and head[0] <= now:
                due, key, freest = head
                stored = self._entries[key]
                heapq.heappop(self._heaps[stored.channel])
                reader = filling.get(stored.channel, freest)
                if self._free(stored.channel, reader) <= 0:
                    reader = freest
                filling[stored.channel] = reader
                until = now + duration * 1000
                self._hold(key, stored, _Hold.HANDED, reader, until - until % 2)
                leases.append(self._lease(key, stored, due, now))
            if leases:
                self._open = now + gap * 1000 if len(leases) < limit else now
            return leases

    async def renew(self, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        with self._lock:
            now = self._now()
            renewed: list[Lease | None] = []
            for lease in leases:
                stored = self._held_by(lease)
                if stored is None:
                    renewed.append(None)
                    continue
                running = stored.hold is _Hold.RUNNING
                until = now + duration * 1000
                until = until - 1 + until % 2
                if until <= stored.due:  # never the same twice, even if the clock stands still
                    until = stored.due + 1 + stored.due % 2
                self._hold(lease.key, stored, _Hold.RUNNING, reader, until)
                renewed.append(self._lease(lease.key, stored, lease.due, now))
                if not running:
                    stored.nudged = False  # the step that begins now has been told
            return renewed

    async def settle(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        with self._lock:
            now = self._now()
            accepted = []
            for lease, outcome in outcomes:
                stored = self._held_by(lease)
                accepted.append(stored is not None)
                if stored is None:
                    continue
                if isinstance(outcome, Dead):
                    self._assign(stored, "")
                    stored.hold, stored.due = _Hold.DEAD, -1
                    self._dead[lease.key] = outcome.reason
                    continue
                if not isinstance(outcome, Again):
                    self._forget(lease.key, stored)
                    continue
                nudged = stored.nudged and stored.hold is _Hold.RUNNING
                stored.hold = _Hold.WAITING
                self._assign(stored, "")
                stored.attempt = outcome.attempt
                if outcome.message is not None:
                    stored.message = outcome.message
                stored.nudged |= outcome.nudged
                self._move(lease.key, stored, now + (0 if nudged else outcome.delay * 1000))
            self._wake(now)
            return accepted

    async def nudge(self, keys: Iterable[str]) -> int:
        with self._lock:
            now = self._now()
            found = 0
            for key in keys:
                stored = self._entries.get(key)
                if stored is None:
                    continue
                found += 1
                stored.nudged = True
                if stored.hold is _Hold.WAITING and stored.due > now:
                    self._move(key, stored, now)
            self._wake(now)
            return found

    async def peek(self, keys: Sequence[str]) -> list[Entry | None]:
        with self._lock:
            now = self._now()
            entries: list[Entry | None] = []
            for key in keys:
                stored = self._entries.get(key)
                if stored is None:
                    entries.append(None)
                    continue
                entries.append(self._entry(key, stored, now))
            return entries

    def _entry(self, key: str, stored: _Stored, now: int) -> Entry:
        dead = stored.hold is _Hold.DEAD
        leased = stored.hold in (_Hold.HANDED, _Hold.RUNNING)
        held = leased and stored.due > now
        stale = (leased and not held) or (stored.hold is _Hold.WAITING and stored.nudged)
        due, reason = (None, self._dead[key]) if dead else (stored.due, "")
        return Entry(key, stored.channel, stored.message, due, held, stored.attempt, reason, stale)

    async def remove(self, keys: Iterable[str]) -> int:
        with self._lock:
            found = 0
            for key in keys:
                stored = self._entries.get(key)
                if stored is not None:
                    self._forget(key, stored)
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
                self._give_back(reader, now)
            self._wake(now)

    def _give_back(self, reader: str, now: int) -> None:
        """Let what the reader was handed and has not renewed wait again."""
        for key, stored in self._entries.items():
            if stored.reader == reader and stored.hold is _Hold.HANDED and stored.due > now:
                stored.hold = _Hold.WAITING
                self._assign(stored, "")
                self._move(key, stored, now)

    async def beat(self, scheduler: str, ttl: int) -> None:
        with self._lock:
            now = self._now()
            self._schedulers = {name: until for name, until in self._schedulers.items() if until > now}
            if ttl > 0:
                self._schedulers[scheduler] = now + ttl * 1000
            else:
                self._schedulers.pop(scheduler, None)

    async def dead(self, limit: int) -> list[Entry]:
        with self._lock:
            now = self._now()
            return [self._entry(key, self._entries[key], now) for key in list(self._dead)[: max(limit, 0)]]

    async def revive(self, keys: Iterable[str]) -> int:
        with self._lock:
            now = self._now()
            found = 0
            for key in keys:
                if self._dead.pop(key, None) is None:
                    continue
                found += 1
                stored = self._entries[key]
                stored.hold, stored.attempt = _Hold.WAITING, 1
                self._move(key, stored, now)
            self._wake(now)
            return found

    async def bury(self, keys: Iterable[str]) -> int:
        with self._lock:
            dead = [key for key in dict.fromkeys(keys) if key in self._dead]
            for key in dead:
                self._forget(key, self._entries[key])
            return len(dead)

    async def sleep(self, cap: int) -> None:
        with self._lock:
            now = self._now()
            until = now + cap * 1000
            if (soonest := self._soonest(now)) is not None:
                until = min(until, soonest)
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
            return len(self._entries)

    async def status(self) -> Status:
        with self._lock:
            now = self._now()
            held = Counter(s.reader for s in self._entries.values() if s.reader and s.due > now)
            waiting = [s for s in self._entries.values() if s.hold is not _Hold.DEAD and not (s.reader and s.due > now)]
            return Status(
                now,
                waiting=len(waiting),
                overdue=sum(stored.due <= now for stored in waiting),
                held=held.total(),
                dead=len(self._dead),
                readers=[
                    Reader(name, channel, slots, held[name])
                    for channel, readers in self._readers.items()
                    for name, (slots, until) in readers.items()
                    if until > now
                ],
                schedulers=[name for name, until in self._schedulers.items() if until > now],
                late=max((now - stored.due for stored in waiting if stored.due <= now), default=0),
            )

    def next_due(self) -> int | None:
        """Return when something can be leased, None if nothing ever can as it stands: for who moves the clock."""
        with self._lock:
            return self._soonest(self._now())

    def _lease(self, key: str, of: _Stored, due: int, at: int) -> Lease:
        return Lease(key, of.channel, of.message, of.due, due, at, of.attempt, of.nudged, of.reader)

    def _held_by(self, lease: Lease) -> _Stored | None:
        stored = self._entries.get(lease.key)
        if stored is None or stored.hold is _Hold.DEAD:
            return None
        return stored if stored.due == lease.receipt and stored.reader == lease.reader else None

    def _move(self, key: str, stored: _Stored, due: int) -> None:
        stored.due = due
        heap = self._heaps[stored.channel]
        heapq.heappush(heap, (due, key))
        # Holds that are renewed and settled leave stale pairs that do not come up for a while yet.
        if len(heap) > 4 * len(self._entries) + 1000:
            heap[:] = [(s.due, k) for k, s in self._entries.items() if s.channel == stored.channel]
            heapq.heapify(heap)
        if len(self._ends) > 4 * len(self._entries) + 1000:
            self._ends = [(s.due, k) for k, s in self._entries.items() if s.reader]
            heapq.heapify(self._ends)

    def _hold(self, key: str, stored: _Stored, hold: _Hold, reader: str, until: int) -> None:
        stored.hold = hold
        self._assign(stored, reader)
        self._move(key, stored, until)
        heapq.heappush(self._ends, (stored.due, key))

    def _assign(self, stored: _Stored, reader: str) -> None:
        if stored.reader:
            self._taken[stored.reader] -= 1
        stored.reader = reader
        if reader:
            self._taken[reader] += 1

    def _forget(self, key: str, stored: _Stored) -> None:
        self._assign(stored, "")
        self._dead.pop(key, None)
        del self._entries[key]

    def _release(self, now: int) -> None:
        """Let the entries wait again whose holds have ended, due since then. A run that was lost is counted."""
        while self._ends and self._ends[0][0] <= now:
            due, key = heapq.heappop(self._ends)
            if (stored := self._ending(due, key)) is not None:
                stored.attempt += stored.hold is _Hold.RUNNING
                stored.hold = _Hold.WAITING
                self._assign(stored, "")

    def _ending(self, due: int, key: str) -> _Stored | None:
        """Return the entry whose hold ends then, None if it was renewed or settled."""
        stored = self._entries.get(key)
        return stored if stored is not None and stored.reader and stored.due == due else None

    def _soonest(self, now: int) -> int | None:
        """Return when something can be leased: a first entry of a channel with a free slot is due, or a hold ends."""
        while self._ends and self._ending(*self._ends[0]) is None:
            heapq.heappop(self._ends)
        firsts = [self._ends[0][0]] if self._ends else []
        if head := self._next(now):
            firsts.append(head[0])
        return max(min(firsts), self._open) if firsts else None

    def _next(self, now: int) -> tuple[int, str, str] | None:
        """Return due time, key and reader of what can be leased next, due or not."""
        best: tuple[int, str, str] | None = None
        for channel, heap in self._heaps.items():
            while heap and not self._waits(channel, *heap[0]):
                heapq.heappop(heap)
            if heap and (best is None or heap[0] < best[:2]) and (reader := self._free_reader(channel, now)):
                best = (*heap[0], reader)
        return best

    def _waits(self, channel: str, due: int, key: str) -> bool:
        """Tell whether a pair of a heap is no stale one."""
        stored = self._entries.get(key)
        return stored is not None and stored.due == due and stored.channel == channel

    def _free_reader(self, channel: str, now: int) -> str | None:
        """Return the reader of the channel with the most free slots."""
        readers = self._readers.get(channel, {})
        for reader in [reader for reader, (_, until) in readers.items() if until <= now]:
            del readers[reader]
        if not readers:
            return None
        free, reader = max((self._free(channel, reader), reader) for reader in readers)
        return reader if free > 0 else None

    def _free(self, channel: str, reader: str) -> int:
        slots, _ = self._readers[channel][reader]
        return slots - self._taken[reader]

    def _wake(self, now: int) -> None:
        if self._sleepers and (soonest := self._soonest(now)) is not None:
            for sleeper in [sleeper for sleeper in self._sleepers if soonest < sleeper.until]:
                self._sleepers.discard(sleeper)
                sleeper.wake()
