"""The receiver: the websocket at `/prog/`. Checks what comes in, answers at once, and does no work of its own."""

from __future__ import annotations

import asyncio
import logging
import time

from channels.generic.websocket import AsyncWebsocketConsumer

from .. import jobs
from ..access import owner_of_scope
from ..exceptions import BadFrame, NotFound, Refused, TooMany
from ..protocol import (
    Action,
    Cancel,
    ListJobs,
    Ping,
    Snapshot,
    Start,
    Unwatch,
    Watch,
    answer_frame,
    error_frame,
    hello_frame,
    jobs_frame,
    parse,
    pong_frame,
    ref_of,
    update_frame,
)
from ..updates import Update, hub

logger = logging.getLogger(__name__)

FRAME_MOST = 65_536
WATCHES_MOST = 100
STRIKES = 3
# RFC 6455's close codes 1003, 1008 and 1009 plus 3000: daphne lets an application send no other.
NO_TEXT, TOO_MUCH, TOO_LONG = 4003, 4008, 4009
FLUSH = 0.1
"""Seconds between two flushes of updates to one socket: what comes faster is overtaken by the newest."""


class Bucket:
    """A token bucket: `rate` a second, at most `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = asyncio.get_running_loop().time()

    def take(self) -> bool:
        """Take one if there is one."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Receiver(AsyncWebsocketConsumer):
    """One socket of one client, for any number of jobs."""

    # It has no channel of its own: updates come by the process' hub.
    channel_layer_alias = ""

    async def connect(self) -> None:
        self._owner = owner_of_scope(self.scope)
        self._frames = Bucket(200, 200)
        self._starts = Bucket(1, 5)
        self._bad_frames = self._binary_frames = 0
        self._over = False
        self._bare = ""
        self._watches: set[tuple[str, str]] = set()
        # Updates that wait for the next flush, and the newest seq that the client has of each job.
        self._waiting: dict[str, Update] = {}
        self._sent: dict[str, int] = {}
        self._answering = False
        self._flushed_at = float("-inf")
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flush_task: asyncio.Task[None] | None = None
        await self.accept()
        await self.send(hello_frame())

    async def disconnect(self, code: int) -> None:
        self._over = True
        if self._flush_timer:
            self._flush_timer.cancel()
        for owner, job in getattr(self, "_watches", set()):
            await hub().unwatch(owner, job, self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._over:
            return  # frames that were on their way when we closed
        if not self._frames.take():
            await self._abuse(TOO_MUCH)
        elif len(text_data or bytes_data or "") > FRAME_MOST:
            await self._abuse(TOO_LONG)
        elif text_data is None:
            self._binary_frames += 1
            await self.send(
                error_frame(BadFrame.code, "Expected a text frame with a JSON object, got a binary frame.", None)
            )
            if self._binary_frames >= STRIKES:
                await self._abuse(NO_TEXT)
        else:
            await self._take(text_data)

    async def _abuse(self, code: int) -> None:
        self._over = True
        await self.close(code)

    async def _take(self, text: str) -> None:
        """Do what a text frame asks for, and answer."""
        ref: str | None = None
        self._answering = True
        try:
            action = parse(text)
            ref = action.ref
            self._bad_frames = 0
            await self._act(action)
        except Refused as refusal:
            await self.send(error_frame(refusal.code, str(refusal), ref or ref_of(text)))
            if isinstance(refusal, BadFrame):
                self._bad_frames += 1
                if self._bad_frames >= STRIKES:
                    await self._abuse(TOO_MUCH)
        except Exception:
            logger.exception("A frame of %s could not be answered.", self._owner)
            await self.send(error_frame("unavailable", "Something went wrong on our side. Try again later.", ref))
        finally:
            self._answering = False
            self._plan_flush()

    async def _act(self, action: Action) -> None:
        match action:
            case Start():
                await self._start(action)
            case Watch():
                await self._watch(str(action.job))
                await self._answer("snapshot", await self._get(str(action.job)), action.ref)
            case Unwatch():
                await self._unwatch(str(action.job))
            case Cancel():
                snapshot = await jobs.acancel(action.job, owner=self._owner)
                await self._answer("snapshot", snapshot, action.ref)
            case ListJobs():
                await self._watch("")
                await self._answer_list(await jobs.alist(owner=self._owner), action.ref)
            case Ping():
                await self.send(pong_frame(action.ref))

    async def _start(self, action: Start) -> None:
        if action.bare and self._bare:
            snapshot = await jobs.aget(self._bare, owner=self._owner)
            if not snapshot.complete:
                await self._answer("accepted", snapshot, action.ref)
                return
        if not self._starts.take():
            raise TooMany("Expected at most one start a second, got more. Try again in a moment.")
        self._room_for_a_watch()
        started = await jobs.astart(action.service, action.params, owner=self._owner, key=action.key)
        if action.bare:
            self._bare = started.job
        await self._watch(started.job)
        await self._answer("accepted", await jobs.aget(started.job, owner=self._owner), action.ref)

    async def _get(self, job: str) -> Snapshot:
        try:
            return await jobs.aget(job, owner=self._owner)
        except NotFound:
            await self._unwatch(job)
            raise

    def _room_for_a_watch(self) -> None:
        if len(self._watches) >= WATCHES_MOST:
            raise TooMany(f"Expected at most {WATCHES_MOST} watches on a socket, got one more.")

    async def _watch(self, job: str) -> None:
        if (self._owner, job) not in self._watches:
            self._room_for_a_watch()
            self._watches.add((self._owner, job))
            await hub().watch(self._owner, job, self)

    async def _unwatch(self, job: str) -> None:
        if (self._owner, job) in self._watches:
            self._watches.remove((self._owner, job))
            await hub().unwatch(self._owner, job, self)

    async def _answer(self, kind: str, snapshot: Snapshot, ref: str | None) -> None:
        self._show(snapshot)
        await self.send(answer_frame(kind, snapshot, _now(), ref))

    async def _answer_list(self, snapshots: list[Snapshot], ref: str | None) -> None:
        for snapshot in snapshots:
            self._show(snapshot)
        await self.send(jobs_frame(snapshots, _now(), ref))

    def _show(self, snapshot: Snapshot) -> None:
        """Note what an answer shows, so that updates it has overtaken are dropped."""
        if snapshot.complete:
            self._sent.pop(snapshot.job, None)
            self._waiting.pop(snapshot.job, None)
        else:
            self._sent[snapshot.job] = snapshot.seq

    # Updates: the newest of each job, at most every FLUSH seconds.

    def deliver(self, update: Update) -> None:
        """Take an update from the hub."""
        waiting = self._waiting.get(update.job)
        if waiting is None or waiting.seq < update.seq:
            self._waiting[update.job] = update
            self._plan_flush()

    def _plan_flush(self) -> None:
        if self._answering or self._over or self._flush_timer or not self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._flush_timer = loop.call_at(max(loop.time(), self._flushed_at + FLUSH), self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        if self._answering:
            return  # planned again after the answer, which comes first
        waiting, self._waiting = self._waiting, {}
        newer = [update for update in waiting.values() if update.seq > self._sent.get(update.job, -1)]
        for update in newer:
            if update.complete:
                self._sent.pop(update.job, None)
            else:
                self._sent[update.job] = update.seq
        if newer:
            self._flushed_at = asyncio.get_running_loop().time()
            self._flush_task = asyncio.create_task(self._send_all(newer))

    async def _send_all(self, newer: list[Update]) -> None:
        for update in newer:
            if not self._over:
                await self.send(update_frame(update.body))


def _now() -> int:
    """Return the server's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
