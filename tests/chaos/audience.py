"""The people at the page: websocket clients that start jobs, follow them, come back, and remember what they hear."""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.typing import Origin

from progrock.delay.finish import end
from tests.chaos.project.apps import QUIET

TRIES = 4_000
"""How often a client connects at most."""
_TICK = 0.2


@dataclass
class Held:
    """What a client knows of a job."""

    state: str = "pending"
    seq: int = -1
    progress: int = 0
    complete: bool = False
    error: str = ""
    at: float = field(default_factory=time.monotonic)
    """When it last heard something new."""
    silence: float = 0.0
    """The longest time without anything new, in seconds."""
    lines: dict[int, str] = field(default_factory=dict)
    count: int = 0
    """How many lines its journal has, by the newest snapshot."""
    cursor: int = 0
    """The newest seq up to which it has everything."""


class Client:
    """One person's browser tab: comes back whenever it is cut off, asks again whenever it is quiet for too long.

    :param addresses: the web servers' URLs.
    :param cookie: whose tab it is.
    :param lists: follows all jobs of its owner with one `list`; otherwise each with a `watch`.
    """

    def __init__(self, addresses: Callable[[], list[str]], cookie: str, seed: int, *, lists: bool) -> None:
        self.jobs: dict[str, Held] = {}
        self.accepted: dict[str, str] = {}
        """Jobs by the key they were started with."""
        self.wrong: list[str] = []
        self.undone = False
        """Whether ends may be forgotten, so that an answer takes one back. The client keeps to it."""
        self.forgets = False
        """Whether journals may be lost, with the Redis that they are in."""
        self._addresses = addresses
        self._cookie = cookie
        self._lists = lists
        self._random = random.Random(seed)
        self._wanted: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, float] = {}
        self._cancels: set[str] = set()
        self._connection: websockets.ClientConnection | None = None
        self._heard = 0.0

    async def run(self) -> None:
        """Be there until cancelled."""
        for _ in range(TRIES):
            base = self._random.choice(self._addresses())
            try:
                async with asyncio.timeout(3):
                    connection = await websockets.connect(
                        base.replace("http", "ws", 1) + "/prog/",
                        origin=Origin(base),
                        additional_headers={"Cookie": self._cookie},
                        max_size=2**24,
                        close_timeout=0.2,
                        ping_interval=None,
                    )
            except (OSError, TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(self._random.uniform(0.1, 0.5))
                continue
            try:
                await self._talk(connection)
            except (OSError, TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(self._random.uniform(0.05, 0.3))
            finally:
                self._connection = None
                connection.transport.abort()
        self.wrong.append(f"gave up after {TRIES} connections")

    async def start(self, key: str, service: str, params: dict[str, Any]) -> None:
        """Start a job, and do so again until it is accepted."""
        self._wanted[key] = {"action": "start", "service": service, "params": params, "key": key, "ref": key}
        await self._send_start(key)

    async def cancel(self, job: str) -> None:
        """Cancel a job, and do so again until that is answered."""
        self._cancels.add(job)
        await self._say({"action": "cancel", "job": job, "ref": f"cancel {job}"})

    async def follow(self, jobs: Iterable[str]) -> None:
        """Watch jobs that somebody else has started."""
        for job in jobs:
            if job not in self.jobs:
                self.jobs[job] = Held()
                await self._say({"action": "watch", "job": job})

    @property
    def wanted(self) -> int:
        """How many starts have not been accepted yet."""
        return len(self._wanted)

    @property
    def over(self) -> bool:
        """Whether all is accepted, and it has been told the end of each."""
        return not self._wanted and all(map(self._has_all, self.jobs.values()))

    def _has_all(self, held: Held) -> bool:
        """Whether it has been told the end of a job, and all that was said on the way, which a list does not tell."""
        return held.complete and (self._lists or self.forgets or len(held.lines) >= held.count)

    @property
    def waits_for(self) -> str:
        """What it still waits for, for people."""
        running = [
            f"{job} ({held.state} {held.progress}, {len(held.lines)} of {held.count} lines)"
            for job, held in self.jobs.items()
            if not self._has_all(held)
        ]
        return ", ".join([*(f"start {key}" for key in self._wanted), *running][:3])

    async def _talk(self, connection: websockets.ClientConnection) -> None:
        hello = json.loads(await asyncio.wait_for(connection.recv(), 3))
        if hello.get("accept") is not True:
            self.wrong.append(f"the first frame was {hello}")
        self._connection, self._heard = connection, time.monotonic()
        await self._repeat()
        asked_at = time.monotonic()
        while True:
            with suppress(TimeoutError):
                self._take(json.loads(await asyncio.wait_for(connection.recv(), _TICK)))
            now = time.monotonic()
            quiet = QUIET / 1000
            stale = any(not self._has_all(held) and now - held.at > quiet for held in self.jobs.values())
            late = any(now - asked > quiet for asked in self._asked.values())
            if (stale or late or self._cancels) and now - asked_at > quiet:
                if now - self._heard > 2 * quiet:
                    return  # nobody is there any more
                await self._repeat()
                asked_at = now

    async def _repeat(self) -> None:
        """Ask for everything again that is not over."""
        if self._lists:
            await self._say({"action": "list"})
        else:
            for job, held in list(self.jobs.items()):
                if not self._has_all(held):
                    await self._say({"action": "watch", "job": job, "after": held.cursor})
        for key in list(self._wanted):
            await self._send_start(key)
        for job in list(self._cancels):
            await self._say({"action": "cancel", "job": job, "ref": f"cancel {job}"})

    async def _send_start(self, key: str) -> None:
        self._asked[key] = time.monotonic()
        await self._say(self._wanted[key])

    async def _say(self, frame: dict[str, Any]) -> None:
        if self._connection is not None:
            # What is not said now is said again after the next connect.
            with suppress(TimeoutError, websockets.WebSocketException):
                await asyncio.wait_for(self._connection.send(json.dumps(frame)), 1)

    def _take(self, frame: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        kind, ref = frame.get("type"), str(frame.get("ref"))
        if kind == "jobs":
            for snapshot in frame["jobs"]:
                self._hear(snapshot, answer=True)
        elif kind in ("accepted", "snapshot"):
            if kind == "accepted" and self._wanted.pop(ref, None) is not None:
                self._asked.pop(ref)
                self.accepted[ref] = frame["job"]
            if kind == "accepted" and self.accepted.get(ref, frame["job"]) != frame["job"]:
                self.wrong.append(f"{ref} became two jobs, {self.accepted[ref]} and {frame['job']}")
            if ref == f"cancel {frame['job']}":
                self._cancels.discard(frame["job"])
            self._hear(frame, answer=True)
        elif kind in ("update", "updates"):
            for snapshot in frame.get("updates", [frame]):
                self._hear(snapshot, answer=False)
        elif kind == "error" and frame["code"] not in ("unavailable", "too_many"):
            self.wrong.append(f"got {frame}")

    def _hear(self, snapshot: dict[str, Any], *, answer: bool) -> None:
        """Take a snapshot as the protocol has it."""
        job, seq = snapshot["job"], snapshot["seq"]
        held = self.jobs.setdefault(job, Held())
        self._read(held, snapshot)
        if not answer and seq <= held.seq:
            return  # overtaken: the protocol has the client drop it
        if held.complete:
            if snapshot["state"] != held.state and not (answer and self.undone):
                self.wrong.append(f"{job}: {snapshot['state']} after {held.state}")
            return
        if answer and seq == 0 < held.seq and not snapshot["complete"]:
            return
        # What is pushed never takes anything back. An answer may be older than what was pushed, and replaces it.
        if seq >= held.seq and snapshot["progress"] < held.progress:
            self.wrong.append(f"{job}: progress {snapshot['progress']} after {held.progress}: {snapshot}")
        now = time.monotonic()
        if seq > held.seq or snapshot["complete"]:
            if held.seq >= 0:
                held.silence = max(held.silence, now - held.at)
            held.at = now
        held.seq, held.progress, held.state = seq, snapshot["progress"], snapshot["state"]
        held.complete = snapshot["complete"]
        held.error = (snapshot["error"] or {}).get("code", "")

    def _read(self, held: Held, frame: dict[str, Any]) -> None:
        """Take the lines of a journal as the protocol has it."""
        if frame.get("resume") == "reset":
            held.lines.clear()
        for line in frame.get("journal", ()):
            if held.lines.setdefault(line["n"], line["text"]) != line["text"]:
                self.wrong.append(f"{frame['job']}: line {line} was {held.lines[line['n']]}")
        held.count = frame["lines"]
        if len(held.lines) >= held.count:
            held.cursor = max(held.cursor, frame["seq"])
        elif not self._lists and not self.forgets and "journal" in frame and "resume" not in frame:
            self.wrong.append(f"{frame['job']}: a gap in its journal: {sorted(held.lines)} of {held.count}")


class Audience:
    """Some people, each with two tabs: one that starts and lists, one that watches each job.

    :param addresses: gives the web servers' URLs.
    """

    def __init__(self, addresses: Callable[[], list[str]], seed: int) -> None:
        self._addresses = addresses
        self._random = random.Random(seed)
        self.starters: list[Client] = []
        self.watchers: list[Client] = []
        self._cancelled: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def clients(self) -> list[Client]:
        """All tabs."""
        return [*self.starters, *self.watchers]

    async def come(self, people: int, *, undone: bool, forgets: bool) -> None:
        """Let so many people open their tabs.

        :param undone: whether they must bear with ends that are forgotten, and told again.
        :param forgets: whether they must bear with journals that are lost.
        """
        for _ in range(people):
            cookie = await asyncio.to_thread(_session, self._addresses()[0])
            starter, watcher = [
                Client(self._addresses, cookie, self._random.getrandbits(32), lists=lists) for lists in (True, False)
            ]
            self.starters.append(starter)
            self.watchers.append(watcher)
        for client in self.clients:
            client.undone = undone
            client.forgets = forgets
        self._tasks = [asyncio.create_task(client.run()) for client in self.clients]

    async def follow(self) -> None:
        """Have the second tabs watch what the first have started."""
        for starter, watcher in zip(self.starters, self.watchers, strict=True):
            await watcher.follow(list(starter.jobs))

    async def cancel(self) -> None:
        """Have the first tabs cancel all that they have started, each job once."""
        for client in self.starters:
            for job in set(client.accepted.values()) - self._cancelled:
                self._cancelled.add(job)
                await client.cancel(job)

    async def leave(self) -> None:
        """Close all tabs."""
        # Not once: on Python 3.11 a cancellation that comes together with a frame is lost in wait_for().
        await end(self._tasks)

    def broken(self) -> list[str]:
        """Return what went wrong with the tabs themselves."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [repr(task.exception()) for task in ended]


def _session(url: str) -> str:
    """Return the cookie that the page gives a new visitor."""
    with urllib.request.urlopen(url, timeout=10) as response:
        cookies = response.headers.get_all("Set-Cookie")
    return str(next(cookie.split(";")[0] for cookie in cookies if cookie.startswith("sessionid=")))
