"""The receiver: the websocket at `/prog/`. Checks what comes in, answers at once, and does no work of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from .. import jobs
from ..access import owner_of_scope
from ..exceptions import BadFrame, NotFound, Refused, TooMany
from ..protocol import (
    Action,
    Cancel,
    ListJobs,
    Ping,
    Retry,
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
ALL = ""
"""The watch on all jobs of the caller's."""
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

    def __init__(self) -> None:
        super().__init__()
        self._frames = Bucket(200, 200)
        self._starts = Bucket(1, 5)
        self._bad_frames = self._binary_frames = 0
        self._over = False
        self._owner = ""
        self._bare = ""
        self._watches: set[str] = set()
        # Updates that wait for the next flush, and the newest seq that the client has of each job.
        self._waiting: dict[str, Update] = {}
        self._sent: dict[str, int] = {}
        # Held while a frame is answered or updates are sent: neither comes between the other's reading and sending.
        self._turn = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self._flushed_at = float("-inf")

    async def __call__(self, *args: Any) -> None:
        try:
            await super().__call__(*args)
        finally:
            # Not disconnect(): a socket may also end in the middle of a frame, by an error or a cancellation.
            self._over = True
            if self._flushing:
                self._flushing.cancel()
            for job in list(self._watches):
                await self._unwatch(job)

    async def connect(self) -> None:
        self._owner = await owner_of_scope(self.scope)
        await self.accept()
        await self.send(hello_frame())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._over:
            return  # frames that were on their way when we closed
        frame = (bytes_data or b"") if text_data is None else text_data.encode()
        if not self._frames.take():
            await self._abuse(TOO_MUCH)
        elif len(frame) > FRAME_MOST:
            await self._abuse(TOO_LONG)
        elif text_data is None:
            self._binary_frames += 1
            refusal = BadFrame("Expected a text frame with a JSON object, got a binary frame.")
            await self.send(error_frame(refusal.code, str(refusal), None))
            if self._binary_frames >= STRIKES:
                await self._abuse(NO_TEXT)
        else:
            async with self._turn:
                await self._take(text_data)

    async def _abuse(self, code: int) -> None:
        self._over = True
        await self.close(code)

    async def _take(self, text: str) -> None:
        """Do what a text frame asks for, and answer."""
        ref: str | None = None
        bad_frames, self._bad_frames = self._bad_frames, 0
        try:
            action = parse(text)
            ref = action.ref
            await self._act(action)
        except Refused as refusal:
            await self.send(error_frame(refusal.code, str(refusal), ref or ref_of(text)))
            if isinstance(refusal, BadFrame):
                self._bad_frames = bad_frames + 1
                if self._bad_frames >= STRIKES:
                    await self._abuse(TOO_MUCH)
        except Exception:
            logger.exception("A frame of %s could not be answered.", self._owner)
            await self.send(error_frame("unavailable", "Something went wrong on our side. Try again later.", ref))

    async def _act(self, action: Action) -> None:
        match action:
            case Start():
                await self._answer("accepted", await self._start(action), action.ref)
            case Watch():
                await self._answer("snapshot", await self._follow(str(action.job)), action.ref)
            case Unwatch():
                await self._unwatch(str(action.job))
            case Cancel():
                await self._answer("snapshot", await jobs.acancel(action.job, owner=self._owner), action.ref)
            case Retry():
                await self._answer("accepted", await self._retry(str(action.job)), action.ref)
            case ListJobs():
                new = await self._watch(ALL)
                snapshots = await jobs.alist_mine(owner=self._owner)
                if new:
                    await jobs.ahasten(snapshots)
                for snapshot in snapshots:
                    self._note(snapshot.job, snapshot.seq, snapshot.complete)
                await self.send(jobs_frame(snapshots, _now(), action.ref))
            case Ping():
                await self.send(pong_frame(action.ref))

    async def _start(self, action: Start) -> Snapshot:
        if action.bare and self._bare:
            # It may have become somebody else's, by a login in another tab.
            with suppress(NotFound):
                if not (await jobs.aget(self._bare, owner=self._owner)).complete:
                    return await self._follow(self._bare)
        started = await jobs.afind(action.key, owner=self._owner) if action.key else None
        if started is None:
            if not self._starts.take():
                raise TooMany("Expected at most one start a second, got more. Try again in a moment.")
            self._room_for_a_watch()
            started = await jobs.astart(action.service, action.params, owner=self._owner, key=action.key)
        if action.bare:
            self._bare = started.job
        return await self._follow(started.job)

    async def _retry(self, job: str) -> Snapshot:
        if not self._starts.take():
            raise TooMany("Expected at most one start a second, got more. Try again in a moment.")
        self._room_for_a_watch()
        return await self._follow((await jobs.aretry(job, owner=self._owner)).job)

    async def _follow(self, job: str) -> Snapshot:
        """Watch a job, and only then read it: nothing falls between the two."""
        new = await self._watch(job)
        try:
            snapshot = await jobs.aget(job, owner=self._owner)
        except NotFound:
            await self._unwatch(job)
            raise
        if new:
            await jobs.ahasten([snapshot])
        return snapshot

    def _room_for_a_watch(self) -> None:
        if ALL not in self._watches and len(self._watches) >= WATCHES_MOST:
            raise TooMany(f"Expected at most {WATCHES_MOST} watches on a socket, got one more.")

    async def _watch(self, job: str) -> bool:
        """Watch a job; return whether workers thought that nobody does."""
        # Who watches all of theirs watches this one too.
        if self._watches & {job, ALL}:
            return False
        if job != ALL:
            self._room_for_a_watch()
        self._watches.add(job)
        return await hub().watch(self._owner, job, self)

    async def _unwatch(self, job: str) -> None:
        if job in self._watches:
            self._watches.remove(job)
            await hub().unwatch(self._owner, job, self)

    async def _answer(self, kind: str, snapshot: Snapshot, ref: str | None) -> None:
        self._note(snapshot.job, snapshot.seq, snapshot.complete)
        await self.send(answer_frame(kind, snapshot, _now(), ref))
        if snapshot.complete:
            await self._unwatch(snapshot.job)

    def _note(self, job: str, seq: int, complete: bool) -> None:
        """Note how new what the client gets now is, so that what it has overtaken is dropped."""
        if complete:
            self._sent.pop(job, None)
            self._waiting.pop(job, None)
        else:
            self._sent[job] = seq

    # Updates: the newest of each job, at most every FLUSH seconds.

    def deliver(self, update: Update) -> None:
        """Take an update from the hub."""
        waiting = self._waiting.get(update.job)
        if self._over or (waiting is not None and waiting.seq >= update.seq):
            return
        self._waiting[update.job] = update
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(max(0.0, self._flushed_at + FLUSH - loop.time()))
                async with self._turn:
                    waiting, self._waiting = self._waiting, {}
                    for update in waiting.values():
                        await self._pass_on(update)
        except Exception as trouble:
            # The server knows that the client is gone, and is about to say so.
            logger.debug("Could not send to %s: %r", self._owner, trouble)
        finally:
            self._flushing = None

    async def _pass_on(self, update: Update) -> None:
        if self._over or update.seq <= self._sent.get(update.job, -1):
            return
        self._flushed_at = asyncio.get_running_loop().time()
        self._note(update.job, update.seq, update.complete)
        await self.send(update_frame(update.body))
        if update.complete:
            await self._unwatch(update.job)


def _now() -> int:
    """Return the server's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
