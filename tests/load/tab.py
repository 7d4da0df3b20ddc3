"""One browser tab of the crowd: keeps some jobs in flight, follows them, and comes back whenever it is cut off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Any

import msgspec
import websockets
from websockets.typing import Origin

from tests.load.ledger import Frame, Ledger, Seen

TRIES = 2_000
"""How often a tab connects at most."""
BACK_MOST = 8.0
"""Seconds between two tries to come back, at most."""
OPEN_MOST = 20.0
_decode = msgspec.json.Decoder(Frame).decode
_PASSING = ("unavailable", "too_many")


class Tab:
    """One websocket.

    :param url: of the web server.
    :param cookie: whose tab it is.
    :param name: what the keys of its starts begin with.
    :param jobs: how many it keeps in flight.
    :param lasts: seconds that its jobs last, on the average.
    :param seen: where the numbers go.
    """

    def __init__(self, url: str, cookie: str, name: str, jobs: int, lasts: float, seen: Seen) -> None:
        self.ledger = Ledger(seen)
        self.going = False
        """Whether it starts jobs."""
        self.opens = 0
        """How often it has been connected."""
        self.refused = 0
        """Starts that were refused for the moment."""
        self._url = url
        self._cookie = cookie
        self._name = name
        self._room = jobs
        self._lasts = lasts
        self._seen = seen
        self._random = random.Random(name)
        self._number = 0
        self._wanted: dict[str, dict[str, Any]] = {}
        """Starts that are not accepted yet, by key."""
        self._ask_at: dict[str, float] = {}
        """When a start is to be asked for again."""
        self._live: set[str] = set()
        self._connection: websockets.ClientConnection | None = None
        self._heard = self._asked = 0.0
        self._quiet = 12.0

    @property
    def over(self) -> bool:
        """Whether all is accepted, and all of it was told to its end."""
        return not self._wanted and not self._live

    @property
    def in_flight(self) -> int:
        """How many of its jobs are not over."""
        return len(self._live)

    @property
    def waits_for(self) -> str:
        """What it still waits for, for people."""
        jobs = self.ledger.jobs
        live = [f"{job} ({jobs[job].state}, {len(jobs[job].lines)} of {jobs[job].count} lines)" for job in self._live]
        return ", ".join([*(f"start {key}" for key in self._wanted), *live][:3])

    async def run(self) -> None:
        """Be there until cancelled."""
        cut_off, misses = 0.0, 0
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(OPEN_MOST):
                    connection = await websockets.connect(
                        self._url.replace("http", "ws", 1) + "/prog/",
                        origin=Origin(self._url),
                        additional_headers={"Cookie": self._cookie},
                        compression=None,
                        max_size=2**24,
                        max_queue=None,
                        close_timeout=0.5,
                        ping_interval=None,
                    )
                async with asyncio.timeout(OPEN_MOST):
                    self._hello(_decode(await connection.recv()))
            except (OSError, TimeoutError, websockets.WebSocketException):
                misses += 1
                # As a browser does it: jittered, so that a thousand do not come at the same moment.
                await asyncio.sleep(self._random.uniform(0.2, min(BACK_MOST, 2.0**misses)))
                continue
            now = time.monotonic()
            if cut_off:
                self._seen.reconnects += 1
                self._seen.away.extend((now, now - cut_off))
            self.opens += 1
            self._connection, self._heard, misses = connection, now, 0
            try:
                await self._repeat()
                async for text in connection:
                    await self._take(_decode(text))
            except (OSError, websockets.WebSocketException):
                pass
            finally:
                self._connection = None
                connection.transport.abort()
            cut_off = time.monotonic()
            await asyncio.sleep(self._random.uniform(0.1, 2.0))
        self.ledger.wrong.append(f"gave up after {TRIES} connections")

    async def look(self) -> None:
        """Do what is due: start jobs, ask again where all is silent, and leave who does not answer. Once a second."""
        now = time.monotonic()
        while self.going and len(self._live) + len(self._wanted) < self._room:
            self._order()
        if self._connection is None:
            return
        for key in [key for key, at in self._ask_at.items() if at <= now]:
            await self._start(key)
        silent = any(now - self.ledger.jobs[job].at > self._quiet for job in self._live)
        if silent and now - self._asked > self._quiet:
            if now - self._heard > 3 * self._quiet:
                self._connection.transport.abort()
                return
            await self._repeat()

    def _order(self) -> None:
        """Make up a job."""
        self._number += 1
        key = f"{self._name}-{self._number}"
        length = round(self._random.uniform(0.5, 1.5) * self._lasts, 1)
        params = {"mode": "clock", "length": length, "seed": self._random.getrandbits(30)}
        self._wanted[key] = {"action": "start", "service": "synth", "params": params, "key": key, "ref": key}
        self._ask_at[key] = 0.0

    async def _start(self, key: str) -> None:
        self._ask_at[key] = time.monotonic() + self._quiet
        await self._say(self._wanted[key])

    async def _repeat(self) -> None:
        """Ask for everything again that is not over."""
        self._asked = time.monotonic()
        for job in list(self._live):
            await self._say({"action": "watch", "job": job, "after": self.ledger.jobs[job].cursor, "ref": "again"})

    async def _say(self, frame: dict[str, Any]) -> None:
        if self._connection is not None:
            # What is not said now is said again after the next connect.
            with suppress(OSError, websockets.WebSocketException):
                await self._connection.send(json.dumps(frame))

    def _hello(self, frame: Frame) -> None:
        if frame.type != "hello":
            self.ledger.wrong.append(f"the first frame was {frame}")
        self._quiet = frame.quiet / 1000 or self._quiet
        self.ledger.connected()
        for key in self._wanted:
            self._ask_at[key] = 0.0

    async def _take(self, frame: Frame) -> None:
        self._heard = time.monotonic()
        ledger, kind = self.ledger, frame.type
        if kind == "update":
            ledger.push(frame)
        elif kind == "updates":
            for told in frame.updates:
                ledger.push(told)
        elif kind == "snapshot":
            ledger.answer(frame)
        elif kind == "accepted":
            ledger.accept(frame.ref, frame)
            self._wanted.pop(frame.ref, None)
            self._ask_at.pop(frame.ref, None)
            self._live.add(frame.job)
        elif kind == "error" and frame.code in _PASSING:
            self.refused += frame.ref in self._wanted
            if frame.ref in self._wanted:
                self._ask_at[frame.ref] = time.monotonic() + self._random.uniform(2, 6)
        elif kind == "error":
            ledger.wrong.append(f"got {frame.code}: {frame.message}")
        if frame.ack:
            await self._say({"action": "ack", "ack": frame.ack})
        for told in frame.updates or [frame]:
            if told.job in self._live and ledger.jobs[told.job].over:
                self._live.discard(told.job)
