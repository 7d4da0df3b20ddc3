"""A delay store in Redis: any number of processes, nothing lost with any of them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .connections import Connect, connector
from .entry import Again, Dead, Entry, Lease, NewEntry, Outcome, Reader, Status
from .exceptions import StoreUnfit
from .finish import side_by_side
from .scripts import Scripts
from .store import DelayStore

logger = logging.getLogger(__name__)

_ATTEMPT_DIGITS = 9
_encode = msgspec.msgpack.Encoder().encode


class RedisStore(DelayStore):
    """Entries in Redis 7, Valkey, or newer. `lua/prelude.lua` tells the keys.

    Safe to use from any event loop; connections belong to the loop that opened them.

    :param connect: makes a client for the running event loop.
    :param prefix: the first part of all keys: what separates two projects on one Redis.
    :param shards: over how many slots of a Redis Cluster the entries are spread. All processes must say the same.
    """

    def __init__(self, connect: Connect, *, prefix: str = "delay", shards: int = 1) -> None:
        self._tags = [f"{{{prefix}.{number}}}" for number in range(shards)]
        self._scripts = Scripts(connect, self._tags)
        self._marks: list[bytes | None] = []
        self._stood: set[str] = set()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> RedisStore:
        """Return a store at a URL; see :func:`~progrock.delay.connections.connector`.

        :raises ValueError: if it is no URL of a Redis.
        """
        return cls(connector(url), **options)

    async def schedule(self, entries: Sequence[NewEntry], *, replace: bool = False) -> list[int | None]:
        receipts: list[int | None] = [None] * len(entries)

        async def schedule(tag: str, positions: Sequence[int]) -> None:
            some = [entries[at] for at in positions]
            items = _encode([(new.key, new.channel, new.delay * 1000) for new in some])
            values = [_value(1, new.channel, new.message) for new in some]
            replies = await self._scripts.run("schedule", tag, int(replace), items, *values)
            for at, due in zip(positions, replies, strict=True):
                receipts[at] = due or None

        await self._each_shard(schedule, [new.key for new in entries])
        return receipts

    async def lease(self, limit: int, duration: int, gap: int = 0) -> list[Lease]:
        if limit < 1:
            return []
        # Where the limit is no multiple of the shards, some of them give one more: others each time.
        count = len(self._tags)
        start = random.randrange(count)
        shares = [(limit + (start + number) % count) // count for number in range(count)]
        ear = self._scripts.ear
        ear.forget()
        replies = await side_by_side(
            [
                self._scripts.run("lease", tag, share, duration * 1000, gap * 1000)
                for tag, share in zip(self._tags, shares, strict=True)
            ]
        )
        self._see([reply[0] for reply in replies])
        leases: list[Lease] = []
        names = _Names()
        nobody: set[tuple[str, bytes, bytes]] = set()
        for tag, (_, at, due, opens, receipt, *items) in zip(self._tags, replies, strict=True):
            ear.plan(tag, at, due, opens)
            for reader, score, key, value, nudged in zip(*[iter(items)] * 5, strict=True):
                # A due time that is no whole number was set by hand.
                since = int(score) if score.isdigit() else at
                try:
                    attempt, channel, message = value.split(b" ", 2)
                    name, look, place = key.decode(), _attempt(attempt), names[channel]
                except ValueError:
                    await self._put_aside(tag, reader, key, receipt, value)
                    continue
                try:
                    who = names[reader]
                except ValueError:
                    nobody.add((tag, channel, reader))
                    continue
                leases.append(Lease(name, place, message, receipt, since, at, look, nudged == 1, who))
        for tag, channel, reader in nobody:
            logger.error("The reader %r of %r is dismissed: no channel has such a name.", reader, channel)
            await self._scripts.run("announce", tag, channel, reader, 0, 0)
        return leases

    async def _put_aside(self, tag: str, reader: bytes, key: bytes, receipt: int, value: bytes) -> None:
        """Let an entry die that no reader could make sense of."""
        reason = f"Expected '<attempt> <channel> <message>', got {value[:40]!r}."
        logger.error("The entry %r is put aside as dead: %s", key, reason)
        await self._scripts.run("settle", tag, "", reader, _encode([(_raw(key), receipt, "dead", reason)]), b"")

    async def renew(self, leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        renewed: list[Lease | None] = [None] * len(leases)

        async def renew(tag: str, channel: str, place: str, positions: list[int]) -> None:
            items = _encode([(leases[at].key, leases[at].receipt) for at in positions])
            arguments = (duration * 1000, reader, channel, place, items)
            now, receipts, nudged = await self._scripts.run("renew", tag, *arguments)
            for at, receipt, mark in zip(positions, receipts, nudged or [0] * len(receipts), strict=True):
                if receipt:
                    old = leases[at]
                    renewed[at] = Lease(
                        old.key, old.channel, old.message, receipt, old.due, now, old.attempt, mark == 1, reader
                    )

        groups = self._by_place(leases)
        await side_by_side([renew(*group, positions) for group, positions in groups.items()])
        return renewed

    async def settle(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        accepted = [False] * len(outcomes)

        async def settle(tag: str, channel: str, place: str, positions: list[int]) -> None:
            some = [outcomes[at] for at in positions]
            items = _encode([(lease.key, lease.receipt, *_words(outcome)) for lease, outcome in some])
            values = [_next_value(lease, outcome) for lease, outcome in some]
            replies = await self._scripts.run("settle", tag, channel, place, items, *values)
            for at, reply in zip(positions, replies, strict=True):
                accepted[at] = reply == 1

        groups = self._by_place([lease for lease, _ in outcomes])
        await side_by_side([settle(*group, positions) for group, positions in groups.items()])
        return accepted

    async def nudge(self, keys: Iterable[str]) -> int:
        return await self._count("nudge", list(keys))

    async def remove(self, keys: Iterable[str]) -> int:
        return await self._count("remove", list(keys))

    async def revive(self, keys: Iterable[str]) -> int:
        return await self._count("revive", list(keys))

    async def bury(self, keys: Iterable[str]) -> int:
        return await self._count("bury", list(keys))

    async def peek(self, keys: Sequence[str]) -> list[Entry | None]:
        entries: list[Entry | None] = [None] * len(keys)

        async def peek(tag: str, positions: Sequence[int]) -> None:
            now, *items = await self._scripts.run("peek", tag, *(_bytes(keys[at]) for at in positions))
            found = zip(*[iter(items)] * 4, strict=True)
            for at, (value, where, score, reason) in zip(positions, found, strict=True):
                if where:
                    due = None if where == b"dead" else score
                    held = where == b"held" and score > now
                    stale = where == b"nudged" or (where == b"held" and not held)
                    entries[at] = _entry(keys[at], value, due, held, reason, stale=stale)

        await self._each_shard(peek, keys)
        return entries

    async def dead(self, limit: int) -> list[Entry]:
        if limit < 1:
            return []
        replies = await self._each("dead", limit)
        found = [each for items in replies for each in zip(*[iter(items)] * 4, strict=True)]
        found.sort(key=lambda each: each[1])
        return [_entry(_text(key), value, None, False, reason) for key, _, value, reason in found[:limit]]

    async def stand(self, entries: Sequence[NewEntry]) -> bool:
        # The last lease has seen the markers: this is asked before each.
        if self._stood.issuperset(new.key for new in entries):
            return False
        clocks = [f"{tag}:clock" for tag in self._tags]
        self._see(await asyncio.gather(*(self._scripts.command("HGET", clock, "stood") for clock in clocks)))
        missing = [new for new in entries if new.key not in self._stood]
        if missing:
            # The marker last: who dies in between leaves the store as new as it was. What others put there stays.
            await self.schedule(missing)
            mark = msgspec.json.encode(sorted(self._stood.union(new.key for new in missing)))
            await asyncio.gather(*(self._scripts.command("HSET", clock, "stood", mark) for clock in clocks))
            self._see([mark] * len(clocks))
        return bool(missing)

    def _see(self, marks: list[bytes | None]) -> None:
        if marks != self._marks:
            self._marks, self._stood = marks, set.intersection(*map(_stood, marks))

    async def announce(self, channel: str, reader: str, slots: int, ttl: int) -> None:
        share = math.ceil(slots / len(self._tags))
        await asyncio.gather(
            *(self._scripts.run("announce", tag, channel, reader, share, ttl * 1000) for tag in self._tags)
        )

    async def beat(self, scheduler: str, ttl: int) -> None:
        await self._each("beat", scheduler, ttl * 1000)

    async def sleep(self, cap: int) -> None:
        ear = self._scripts.ear
        if not ear.planned:
            for tag, plan in zip(self._tags, await self._each("next"), strict=True):
                ear.plan(tag, *plan)
        await ear.sleep(cap)

    async def depth(self) -> int:
        depths = await asyncio.gather(*(self._scripts.command("HLEN", f"{tag}:entries") for tag in self._tags))
        return sum(depths)

    async def status(self) -> Status:
        replies = await self._each("status")
        readers: dict[str, Reader] = {}
        schedulers: set[str] = set()
        for *_, names, present in replies:
            schedulers.update(map(_text, names))
            for name, channel, slots, taken in zip(*[iter(present)] * 4, strict=True):
                known = readers.get(_text(name), Reader(_text(name), _text(channel), 0, 0))
                readers[known.name] = Reader(known.name, known.channel, known.slots + slots, known.taken + taken)
        waiting, overdue, held, dead = (sum(reply[at] for reply in replies) for at in range(1, 5))
        now, late = max(reply[0] for reply in replies), max(reply[5] for reply in replies)
        return Status(now, waiting, overdue, held, dead, list(readers.values()), sorted(schedulers), late)

    async def about(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what each Redis of the store says of itself.

        :returns: the fields of `INFO`, by the names of a cluster's nodes; of one alone, by an empty name.
        :raises StoreAway: if one does not answer.
        """
        return await self._scripts.everywhere("INFO")

    async def check(self) -> None:
        for node in (await self.about()).values():
            version = str(node.get("redis_version", "unknown"))
            if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < 7:
                raise StoreUnfit(f"Expected Redis 7 or newer, or Valkey, got {version}. Put a newer one there.")
            policy = str(node.get("maxmemory_policy", "noeviction"))
            if policy.startswith("allkeys"):
                raise StoreUnfit(
                    f"Expected a Redis that keeps what it is given, got maxmemory-policy {policy}, which drops "
                    "entries. Say: CONFIG SET maxmemory-policy noeviction, and write it into its configuration."
                )

    async def aclose(self) -> None:
        await self._scripts.aclose()

    def _tag(self, key: str) -> str:
        if len(self._tags) == 1:
            return self._tags[0]
        return self._tags[zlib.crc32(_bytes(key)) % len(self._tags)]

    def _by_place(self, leases: Sequence[Lease]) -> dict[tuple[str, str, str], list[int]]:
        """Group the positions of leases by shard, channel, and who has them."""
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for at, lease in enumerate(leases):
            groups[self._tag(lease.key), lease.channel, lease.reader or lease.channel].append(at)
        return groups

    async def _each(self, script: str, *arguments: str | int) -> list[Any]:
        """Run a script on every shard and return the replies."""
        return await side_by_side([self._scripts.run(script, tag, *arguments) for tag in self._tags])

    async def _each_shard(
        self, work: Callable[[str, Sequence[int]], Coroutine[Any, Any, None]], keys: Sequence[str]
    ) -> None:
        """Do `work` for each shard with the positions of its keys."""
        groups: dict[str, list[int]] = defaultdict(list)
        for at, key in enumerate(keys):
            groups[self._tag(key)].append(at)
        await side_by_side([work(tag, positions) for tag, positions in groups.items()])

    async def _count(self, script: str, keys: Sequence[str]) -> int:
        counts: list[int] = []

        async def count(tag: str, positions: Sequence[int]) -> None:
            counts.append(await self._scripts.run(script, tag, *(_bytes(keys[at]) for at in positions)))

        await self._each_shard(count, keys)
        return sum(counts)


class _Names(dict[bytes, str]):
    """Names as text, decoded once: a batch has few of them."""

    def __missing__(self, name: bytes) -> str:
        self[name] = text = name.decode()
        return text


def _stood(mark: bytes | None) -> set[str]:
    """Return the keys of a marker: none if other hands wrote it."""
    try:
        return set(msgspec.json.decode(mark or b"[]", type=list[str]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return set()


def _words(outcome: Outcome) -> tuple[int | str, bool | str]:
    """Return what `settle.lua` calls an outcome."""
    if isinstance(outcome, Again):
        return outcome.delay * 1000, outcome.nudged
    if isinstance(outcome, Dead):
        return "dead", outcome.reason
    return "done", ""


def _next_value(lease: Lease, outcome: Outcome) -> bytes:
    """Return what the store keeps from here on, nothing if that is what it has."""
    if not isinstance(outcome, Again) or (outcome.message is None and outcome.attempt == lease.attempt):
        return b""
    return _value(outcome.attempt, lease.channel, lease.message if outcome.message is None else outcome.message)


def _raw(key: bytes) -> msgspec.Raw:
    """Return a key that is no text as the string that Lua takes it for."""
    return msgspec.Raw(b"\xdb" + len(key).to_bytes(4, "big") + key)


def _value(attempt: int, channel: str, message: bytes) -> bytes:
    """Return what the store keeps of an entry beside its due time."""
    return b"%d %b %b" % (attempt, channel.encode(), message)


def _entry(key: str, value: bytes, due: int | None, held: bool, reason: bytes, *, stale: bool = False) -> Entry:
    try:
        attempt, channel, message = value.split(b" ", 2)
        return Entry(key, channel.decode(), message, due, held, _attempt(attempt), _text(reason), stale)
    except ValueError:
        return Entry(key, "", value, due, held, 1, _text(reason), stale)  # somebody's hands were in it


def _attempt(text: bytes) -> int:
    """Return an attempt as a number.

    :raises ValueError: if it is none that a worker could get to.
    """
    if not text.isdigit() or len(text) > _ATTEMPT_DIGITS:
        raise ValueError(f"Expected an attempt, got {text[:40]!r}.")
    return int(text)


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogateescape")
