"""The receiver: the websocket at `/prog/`. Checks what comes in, answers at once, and does no work of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from channels.consumer import get_handler_name
from channels.db import aclose_old_connections
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from .. import counts, logs, registry, tracing
from ..access import goes_by
from ..bucket import Bucket
from ..caller import address_of_scope, caller_of_scope
from ..exceptions import BadFrame, NotFound, Refused, TooMany
from ..feed import Answer, Feed, Fresh, frames
from ..identity import of_scope
from ..protocol import (
    Ack,
    Action,
    Cancel,
    ListJobs,
    Ping,
    Retry,
    Start,
    Subscribe,
    Unsubscribe,
    Unwatch,
    Watch,
    answer_frame,
    error_frame,
    hello_frame,
    jobs_frame,
    parse,
    pong_frame,
    ref_of,
    subscribed_frame,
    with_ack,
)
from ..updates import hub
from ..vigil import vigil
from .unread import MOST, Unread

logger = logging.getLogger(__name__)

STRIKES = 3
# RFC 6455's close codes 1003, 1008, 1009 and 1013 plus 3000, and HTTP's 429 plus 4000: daphne lets an application send
# no other.
NO_TEXT, TOO_MUCH, TOO_LONG, COME_BACK, SIGNED_OUT, TOO_MANY = 4003, 4008, 4009, 4013, 4401, 4429
PATIENCE = 30.0
"""Seconds that a client has to read what it was sent, if that is much: a phone in a tunnel comes back within them."""
SEND_MOST = 10.0
"""Seconds that the server may need to take a frame, where it waits for the client: longer, and nobody is there."""
ENDS_MOST = 64
"""How many answers are awaited from a client that is to say that it was told of ends."""
SLOW_PACE = 1.0
"""Seconds between two sendings to a client that may be behind and does not say."""

SWEEP = 1.0
"""Seconds from one closing of database connections that are old, or lost, to the next."""
_swept = float("-inf")

_sockets: Counter[str] = Counter()
"""How many sockets each has on this process: an owner, or an address where nobody is known."""


class Receiver(AsyncWebsocketConsumer):
    """One socket of one client, for any number of jobs."""

    # It has no channel of its own: updates come by the process' hub.
    channel_layer_alias = ""

    def __init__(self) -> None:
        super().__init__()
        pace = registry.conf().max_frames_per_second
        self._frames = Bucket(pace, pace)
        self._bad_frames = self._binary_frames = 0
        self._over = False
        self._bare = ""
        self._feed = Feed("")
        self._following: asyncio.Task[None] | None = None
        self._unread = Unread(asyncio.get_running_loop().time())
        self._acked = asyncio.Event()
        # By the number to repeat, the ends of which it is to be known that this client was told.
        self._ends: dict[int, list[str]] = {}
        self._whose = ""
        self._given_up = False
        # Since when a frame is being sent, and who looks whether that takes too long.
        self._sending: float | None = None
        self._looking: asyncio.TimerHandle | None = None
        # Who watches over whose it is is told when nobody needs to any more.
        self._release: Callable[[], None] = lambda: None
        self._ending: asyncio.Task[None] | None = None

    async def __call__(self, *args: Any) -> None:
        self._main = asyncio.current_task()
        counts.SOCKETS.add()
        try:
            await super().__call__(*args)
        except asyncio.CancelledError:
            if not self._given_up:
                raise
        finally:
            # Not disconnect(): a socket may also end in the middle of a frame, by an error or a cancellation.
            self._over = True
            counts.SOCKETS.add(by=-1)
            self._release()
            if self._whose:
                _sockets[self._whose] -= 1
                if not _sockets[self._whose]:
                    del _sockets[self._whose]
            if self._looking:
                self._looking.cancel()
            if self._following:
                self._following.cancel()
            await self._feed.aclose()

    async def dispatch(self, message: dict[str, Any]) -> None:
        global _swept
        # Channels' own would do that before each message. All sockets of a process ask the database in one thread, and
        # with a thousand of them no connection would last for two questions.
        now = time.monotonic()
        if now - _swept > SWEEP:
            _swept = now
            await aclose_old_connections()
        await getattr(self, get_handler_name(message))(message)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def connect(self) -> None:
        self._feed = Feed(await caller_of_scope(self.scope), says=True)
        await self.accept()
        if not self._room_for_a_socket():
            # Not before it is accepted: a browser would not tell its page why it was not.
            await self._abuse(TOO_MANY)
            return
        # Who comes by a share link is nobody, and stays so.
        if not self._feed.caller.shared:
            # Bytes would have to be ASCII, and a client sends what it likes.
            query = self.scope.get("query_string", b"").decode("latin-1")
            who = parse_qs(query).get("who", [""])[0]
            if who and not await goes_by(who, self._feed.owner, self.scope.get("session")):
                await self._abuse(SIGNED_OUT)
                return
            self._release = vigil().keep(of_scope(self.scope), self._sign_out)
        await self._say(hello_frame())
        self._following = asyncio.create_task(self._follow())

    def _sign_out(self) -> None:
        if not self._over:
            self._ending = asyncio.create_task(self._abuse(SIGNED_OUT))

    def _room_for_a_socket(self) -> bool:
        """Return whether this one may be, and count it."""
        most, whose = registry.conf().max_sockets, self._feed.owner
        if whose.startswith("socket:"):
            # Nobody is known. Behind one address there may be many; a server on a file has none.
            most, whose = most * 10, address_of_scope(self.scope)
        if not whose:
            return True
        if _sockets[whose] >= most:
            return False
        _sockets[whose] += 1
        self._whose = whose
        return True

    async def _say(self, frame: str) -> None:
        """Send a frame, and count it as long as the client may not have read it."""
        if self._over:
            return
        loop = asyncio.get_running_loop()
        self._sending = loop.time()
        if self._unread.sent(len(frame), self._sending) > MOST:
            await self._abuse(COME_BACK)
            return
        if self._looking is None:
            self._looking = loop.call_later(SEND_MOST, self._look)
        await self.base_send({"type": "websocket.send", "text": frame})
        self._sending = None

    def _look(self) -> None:
        """Give the socket up if the server has been sending a frame for long: it waits for who is not there.

        Now and then, and not by a timer for each frame, which would cost as much as all else that we do to send it.
        """
        self._looking = None
        loop = asyncio.get_running_loop()
        if self._over or self._sending is None:
            return
        if loop.time() - self._sending < SEND_MOST:
            self._looking = loop.call_later(SEND_MOST, self._look)
            return
        # It would not take a close either.
        self._over = self._given_up = True
        if self._main:
            self._main.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._over:
            return  # frames that were on their way when we closed
        self._unread.heard()
        frame = (bytes_data or b"") if text_data is None else text_data.encode()
        if not self._frames.take():
            await self._abuse(TOO_MUCH)
        elif len(frame) > registry.conf().max_frame_bytes:
            await self._abuse(TOO_LONG)
        elif text_data is None:
            self._binary_frames += 1
            refusal = BadFrame("Expected a text frame with a JSON object, got a binary frame.")
            await self._say(error_frame(refusal.code, str(refusal), None))
            if self._binary_frames >= STRIKES:
                await self._abuse(NO_TEXT)
        else:
            async with self._feed.turn:
                await self._take(text_data)

    async def _abuse(self, code: int) -> None:
        self._over = True
        await self.close(code)

    async def _take(self, text: str) -> None:
        """Do what a text frame asks for, and answer."""
        with logs.about(owner=self._feed.owner):
            await self._answer_to(text)

    async def _answer_to(self, text: str) -> None:
        ref: str | None = None
        bad_frames, self._bad_frames = self._bad_frames, 0
        try:
            action = parse(text)
            ref = action.ref
            with logs.about(job=getattr(action, "job", None)):
                answer = await self._act(action)
            if answer:
                await self._say(answer)
        except Refused as refusal:
            await self._say(error_frame(refusal.code, str(refusal), ref or ref_of(text)))
            if isinstance(refusal, BadFrame):
                self._bad_frames = bad_frames + 1
                if self._bad_frames >= STRIKES:
                    await self._abuse(TOO_MUCH)
        except Exception:
            logger.exception("A frame of %s could not be answered.", logs.named(self._feed.owner))
            await self._say(error_frame("unavailable", "Something went wrong on our side. Try again later.", ref))

    async def _act(self, action: Action) -> str | None:
        """Return the frame that answers."""
        ref = action.ref
        match action:
            case Start():
                with tracing.serving("frame start"):
                    return _answer("accepted", await self._start(action), ref)
            case Watch():
                return _answer("snapshot", await self._feed.watch(str(action.job), action.after), ref)
            case Unwatch():
                await self._feed.unwatch(str(action.job))
            case Cancel():
                with tracing.serving("frame cancel"):
                    snapshot = await (await self._feed.asker()).cancel(action.job)
                await self._feed.told(snapshot.job, snapshot.seq, snapshot.complete)
                return answer_frame("snapshot", snapshot, _now(), ref)
            case Retry():
                with tracing.serving("frame retry"):
                    return _answer("accepted", await self._retry(str(action.job)), ref)
            case ListJobs():
                return jobs_frame(await self._feed.watch_all(), _now(), ref)
            case Subscribe():
                await self._feed.events.subscribe(action.channel)
                return subscribed_frame(action.channel, ref)
            case Unsubscribe():
                await self._feed.events.unsubscribe(action.channel)
            case Ping():
                return pong_frame(ref)
            case Ack():
                self._unread.ack(action.ack)
                self._acked.set()
                hub().tell_of_ends([(self._feed.owner, job) for job in self._ends.pop(action.ack, ())])
        return None

    async def _start(self, action: Start) -> Answer:
        caller = await self._feed.asker()
        if action.bare and self._bare:
            # It may have become somebody else's, by a login in another tab.
            with suppress(NotFound):
                if not (await caller.get(self._bare)).complete:
                    return await self._feed.watch(self._bare)
        started = await caller.find(action.key) if action.key else None
        if started is None:
            self._room_for_a_start()
            started = await caller.start(action.service, action.params, key=action.key, deadline=action.deadline)
        if action.bare:
            self._bare = started.job
        return await self._feed.watch(started.job)

    async def _retry(self, job: str) -> Answer:
        self._room_for_a_start()
        return await self._feed.watch((await (await self._feed.asker()).retry(job)).job)

    def _room_for_a_start(self) -> None:
        try:
            self._feed.room()
        except TooMany:
            counts.REFUSED.add(TooMany.code)
            raise

    async def _follow(self) -> None:
        """Send what is new, for as long as the socket is there."""
        feed = self._feed
        try:
            while not self._over:
                if await feed.news():
                    if self._unread.slow or self._unread.held:
                        # Meanwhile the newest of each job waits, and no more.
                        await self._let_read()
                    async with feed.turn:
                        fresh = await feed.fetch()
                        for frame in feed.events.take():
                            await self._say(with_ack(frame, self._unread.ask()))
                        await self._tell(fresh)
                        for frame in feed.refusals():
                            await self._say(frame)
        except Exception as trouble:
            # The server knows that the client is gone, and is about to say so.
            logger.debug("Could not send to %s: %r", logs.named(feed.owner), trouble)

    async def _tell(self, fresh: Sequence[Fresh]) -> None:
        """Send what is new; who is sent an end of which that is to be known is asked to say so, with the last frame."""
        # That somebody else was told is no word to its owner.
        mine = self._feed.owner
        ends = [each.update.job for each in fresh if each.update.asks and each.update.owner == mine]
        told = list(frames(fresh))
        for frame in told:
            asks = bool(ends) and frame is told[-1]
            number = self._unread.ask(now=asks)
            if asks and number is not None:
                self._ends[number] = ends
                if len(self._ends) > ENDS_MOST:
                    del self._ends[next(iter(self._ends))]
            await self._say(with_ack(frame, number))

    async def _let_read(self) -> None:
        """Give the client time to read what it was sent; send it away if it does not."""
        if self._unread.slow:
            await asyncio.sleep(SLOW_PACE)
        try:
            async with asyncio.timeout(PATIENCE):
                while self._unread.held:
                    self._acked.clear()
                    await self._acked.wait()
        except TimeoutError:
            await self._abuse(COME_BACK)


def _answer(kind: str, answer: Answer, ref: str | None) -> str:
    return answer_frame(kind, answer.snapshot, _now(), ref, answer.resume, answer.lines)


def _now() -> int:
    """Return the server's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
