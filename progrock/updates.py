"""How a new snapshot gets from a worker to everybody who watches: in batches, through one hub a process.

A batch is one `group_send` for each shard that has an owner in it. The hub joins the shards of the owners that its
sockets watch, and hands each update on, encoded once. Nothing here is the truth: an update that is lost is repaired
by the next one, or by the client asking again. Events go the same way, and are repaired by nobody.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextvars import Context
from typing import Any, Protocol

import msgspec
from channels.layers import get_channel_layer

from . import registry
from .delay import trouble
from .delay.loops import PerLoop
from .exceptions import TooMany
from .politeness import end_topic, topic
from .protocol import Snapshot, encode

logger = logging.getLogger(__name__)

SHARDS = 1
"""A message costs whoever decodes it, and the worker: with four, eight web processes need a third more. More are worth
it once a process is busy with updates that nobody there watches: from some 50,000 a second on."""
REJOIN = 10
"""Seconds after which the hub joins its groups again: layers forget members."""
MARK = 30_000
"""Milliseconds that a mark of what is watched lasts; it is made again with each rejoin. That of an end lasts as
long, once."""


class Update(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot on its way: whose, of what, how new, its JSON, and how many lines of the journal it counts.

    `asks`: somebody is to be told of this end unless a page is, which is to be known. `child`: its job is one.
    """

    owner: str
    job: str
    seq: int
    complete: bool
    body: bytes
    lines: int = 0
    asks: bool = False
    child: bool = False


class Event(msgspec.Struct, frozen=True, array_like=True):
    """What somebody wants pages to hear: whoever has subscribed to its topic; and its frame."""

    topic: str
    frame: bytes


class Sink(Protocol):
    """What a hub hands updates to. Must not block. Returns whether its client counts as told: not if it will say so."""

    def deliver(self, update: Update) -> bool: ...


class Subscriber(Protocol):
    """What a hub hands events to. Must not block."""

    def hear(self, event: Event) -> None: ...


_decode = msgspec.msgpack.Decoder(list[Update]).decode
_decode_events = msgspec.msgpack.Decoder(list[Event]).decode
_NONE = msgspec.msgpack.encode([])


def _group(owner: str) -> str:
    # By owner and not by job, so that "all of mine, also those to come" is one membership.
    return f"prog-updates.{zlib.crc32(owner.encode()) % SHARDS}"


async def publish(snapshots: Iterable[tuple[str, Snapshot]], *, asks: bool = False) -> None:
    """Tell everybody who watches. Never raises.

    :param snapshots: pairs of owner and snapshot.
    :param asks: whether it is to be known that a page was told.
    """
    shards: dict[str, list[Update]] = defaultdict(list)
    for owner, snapshot in snapshots:
        try:
            body, child = encode(snapshot), snapshot.parent is not None
            update = Update(owner, snapshot.job, snapshot.seq, snapshot.complete, body, snapshot.lines, asks, child)
            shards[_group(owner)].append(update)
        except Exception as trouble:
            # A row that other hands wrote: it must hold up neither the other updates nor the end of its job.
            logger.error("Job %s cannot be told: %r", snapshot.job, trouble, extra={"job": snapshot.job})
    layer = get_channel_layer()
    for group, updates in shards.items():
        try:
            await layer.group_send(group, {"type": "prog.updates", "updates": msgspec.msgpack.encode(updates)})
        except Exception as trouble:
            logger.warning("Could not publish %d updates: %r", len(updates), trouble)


async def spread(events: Iterable[Event]) -> None:
    """Hand events to the hubs of all processes. Raises what the channel layer raises."""
    shards: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        shards[_group(event.topic)].append(event)
    for group, some in shards.items():
        # Processes of the version before look for updates, and find none.
        message = {"type": "prog.updates", "updates": _NONE, "events": msgspec.msgpack.encode(some)}
        await get_channel_layer().group_send(group, message)


class Hub:
    """One process' ear for updates, for all of its sockets."""

    def __init__(self) -> None:
        self._layer = get_channel_layer()
        self._sinks: dict[tuple[str, str], set[Sink]] = defaultdict(set)
        self._subscribers: dict[str, set[Subscriber]] = defaultdict(set)
        self._topics: Counter[str] = Counter()
        self._joined: set[str] = set()
        self._channel = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self._noting: set[asyncio.Task[None]] = set()

    async def watch(self, owner: str, job: str, sink: Sink) -> bool:
        """Hand the job's updates to `sink` from now on; with an empty `job`, those of all of its owner's.

        :returns: whether workers thought that nobody watches. If no policy makes a difference of it, they never do.
        """
        new = (owner, job) not in self._sinks
        if new:
            self._topics[_group(owner)] += 1
        self._sinks[owner, job].add(sink)
        await self._settle_group(_group(owner))
        return new and any(await self._mark([(owner, job)]))

    def room(self, owner: str, job: str) -> None:
        """See that there is room for one more who watches a job: each is sent each of its updates.

        :raises TooMany: if there is none.
        """
        most = registry.conf().max_watchers
        if len(self._sinks.get((owner, job), ())) >= most:
            raise TooMany(f"Expected at most {most} clients that watch one job, got one more.", after=10)

    async def unwatch(self, owner: str, job: str, sink: Sink) -> None:
        """Undo a watch."""
        await self.leave([(owner, job)], sink)

    async def leave(self, watches: Iterable[tuple[str, str]], sink: Sink) -> None:
        """Undo watches, pairs of owner and job: all before anything is waited for, which may be broken off."""
        groups = set()
        for owner, job in watches:
            sinks = self._sinks.get((owner, job))
            if sinks is not None:
                sinks.discard(sink)
                if not sinks:
                    del self._sinks[owner, job]
                    self._topics[_group(owner)] -= 1
                    groups.add(_group(owner))
        for group in groups:
            if group in self._topics and not self._topics[group]:
                await self._settle_group(group)

    async def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Hand the events of a topic to `subscriber` from now on."""
        if topic not in self._subscribers:
            self._topics[_group(topic)] += 1
        self._subscribers[topic].add(subscriber)
        await self._settle_group(_group(topic))

    async def unsubscribe(self, topics: Iterable[str], subscriber: Subscriber) -> None:
        """Undo subscriptions, all of them before anything is waited for, which may be broken off."""
        groups = set()
        for each in topics:
            subscribers = self._subscribers.get(each)
            if subscribers is not None:
                subscribers.discard(subscriber)
                if not subscribers:
                    del self._subscribers[each]
                    self._topics[_group(each)] -= 1
                    groups.add(_group(each))
        for group in groups:
            if group in self._topics and not self._topics[group]:
                await self._settle_group(group)

    async def _settle_group(self, group: str) -> None:
        """Join or leave the group, as its topics have it when it is this one's turn.

        Where the layer is away, updates are late, and nothing else: there is a next time, at the latest with a rejoin.
        """
        async with self._turn:
            try:
                if self._topics[group] and group not in self._joined:
                    await self._join(group)
                elif not self._topics[group]:
                    await self._part(group)
            except Exception as error:
                trouble.say(logger, "The hub could not join or leave %s: %r", group, error)

    async def _join(self, group: str) -> None:
        if not self._channel:
            self._channel = await self._layer.new_channel()
            # They outlive who is the first to watch, and what is logged there is not about them.
            self._tasks = [
                asyncio.create_task(self._receive(), context=Context()),
                asyncio.create_task(self._rejoin(), context=Context()),
            ]
        await self._layer.group_add(group, self._channel)
        self._joined.add(group)

    async def _part(self, group: str) -> None:
        del self._topics[group]
        channel = self._channel
        if not self._topics:
            for task in self._tasks:
                task.cancel()
            self._tasks, self._channel = [], ""
        self._joined.discard(group)
        if channel:
            await self._layer.group_discard(group, channel)

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._layer.receive(self._channel)
                self._hand_out(message)
            except Exception as trouble:
                logger.warning("The hub dropped a message: %r", trouble)
                await asyncio.sleep(0.1)

    def _hand_out(self, message: dict[str, Any]) -> None:
        told = []
        for update in _decode(message["updates"]):
            sinks = [*self._sinks.get((update.owner, update.job), ()), *self._sinks.get((update.owner, ""), ())]
            counts = [sink.deliver(update) for sink in sinks]
            if update.asks and any(counts):
                told.append((update.owner, update.job))
        self.tell_of_ends(told)
        for event in _decode_events(message.get("events", _NONE)):
            for subscriber in tuple(self._subscribers.get(event.topic, ())):
                subscriber.hear(event)

    async def _mark(self, watched: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """Let workers know what is watched, if they care; return of each whether that is new to them."""
        if not registry.counts_watchers():
            return ()
        try:
            async with asyncio.timeout(1):
                return await registry.audience().mark([topic(*each) for each in watched], MARK)
        except Exception as error:
            trouble.say(logger, "Workers do not learn who watches: %r", error)
            return ()

    def tell_of_ends(self, told: Sequence[tuple[str, str]]) -> None:
        """Let it be known, in a moment, that pages were told of ends: pairs of owner and job."""
        if told:
            task = asyncio.create_task(_mark_ends(told))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _rejoin(self) -> None:
        while True:
            await asyncio.sleep(REJOIN)
            await self._mark(list(self._sinks))
            for group in list(self._topics):
                try:
                    await self._layer.group_add(group, self._channel)
                except Exception as trouble:
                    logger.warning("The hub could not join %s: %r", group, trouble)


async def _mark_ends(told: Sequence[tuple[str, str]]) -> None:
    try:
        async with asyncio.timeout(1):
            await registry.audience().mark([end_topic(*each) for each in told], MARK)
    except Exception as error:
        trouble.say(logger, "Nobody learns that pages were told of ends: %r", error)


async def was_told(owner: str, job: str) -> bool:
    """Return whether a page was told of a job's end, lately. If that cannot be asked, none was."""
    try:
        async with asyncio.timeout(1):
            return (await registry.audience().watched([end_topic(owner, job)]))[0]
    except Exception as error:
        trouble.say(logger, "Whether a page was told of an end cannot be asked: %r", error)
        return False


@PerLoop
def hub() -> Hub:
    """Return the running event loop's hub."""
    return Hub()
