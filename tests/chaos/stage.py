"""All of a site, as real processes: Redis, the remote service, and two each of web server, worker and scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.chaos.project.apps import HAND_OFF
from tests.faults.crew import OURS, START_MOST, Code, Crew, Hand
from tests.postgres import PostgresServer
from tests.processes import free_port
from tests.redis import RedisServer
from tests.synth.process import SynthProcess
from tests.until import until

SETTINGS = "tests.chaos.project.settings"


class Seat:
    """A place for one process, which is filled again when it has become empty.

    :param command: of Python.
    :param port: where it serves HTTP, 0 if it does not.
    :param code: that it runs.
    """

    def __init__(self, crew: Crew, role: str, command: tuple[str, ...], port: int = 0, code: Code = OURS) -> None:
        self.role = role
        self.port = port
        self.code = code
        self._crew = crew
        self._command = command
        self.hand: Hand

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Put a new process there, and do not wait."""
        self.hand = self._crew.run(self._command, self.code)

    async def ready(self) -> None:
        """Wait until it does its work."""
        if self.port:
            await until(self._serves, START_MOST)
        else:
            await self.hand.present()

    async def again(self) -> None:
        """Put a new process there, and wait until it does its work."""
        self.start()
        await self.ready()

    async def relieve(self) -> int:
        """Let the process end in order, and put a new one there. Returns the exit code of the old."""
        code, _ = await self.hand.stop()
        await self.again()
        return code

    async def _serves(self) -> bool:
        assert self.hand.code is None, "\n".join(self.hand.log)
        try:
            await ask(f"{self.url}/healthz")
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


class Stage:
    """The site.

    :param folder: for all that it leaves behind.
    :param environment: of all of its own processes.
    """

    def __init__(self, folder: Path, **environment: object) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self._points = folder / "points"
        self._points.mkdir()
        # One thread for all its life: what a thread has started ends with it.
        self._side = self._stack.enter_context(ThreadPoolExecutor(1))
        self.redis = self._stack.enter_context(RedisServer(aof=True))
        # Only its processes die here, never the machine.
        self.postgres = self._stack.enter_context(PostgresServer(durable=True, config=[("fsync", "off")]))
        self.synth = self._stack.enter_context(SynthProcess(home=folder / "synth"))
        own = {
            "POINTS": self._points,
            "VAR_DIR": folder / "var",
            "SYNTH_URL": self.synth.url,
            "DATABASE_URL": self.postgres.url,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
        }
        self._environment = {name: str(value) for name, value in {**own, **environment}.items()}
        self.crew = Crew(self.redis, folder, **{**self._environment, "HAND_OFF": HAND_OFF})
        self._stack.callback(self.crew.close)
        self.webs: list[Seat] = []
        self.workers: list[Seat] = []
        self.schedulers: list[Seat] = []

    @property
    def seats(self) -> list[Seat]:
        """All of them."""
        return [*self.webs, *self.workers, *self.schedulers]

    def web(self, code: Code = OURS) -> Seat:
        """Return a new seat of a web server."""
        port = free_port()
        quiet = ("--application-close-timeout", "1", "config.asgi:application")
        return Seat(self.crew, "web", ("-m", "daphne", "-p", str(port), "-b", "127.0.0.1", *quiet), port, code)

    def worker(self, code: Code = OURS) -> Seat:
        """Return a new seat of a worker."""
        return Seat(self.crew, "worker", ("manage.py", "runworker", "prog-rocker"), code=code)

    def scheduler(self, code: Code = OURS) -> Seat:
        """Return a new seat of a scheduler."""
        return Seat(self.crew, "scheduler", ("manage.py", "rundelay"), code=code)

    async def open(self) -> None:
        """Start two of each, and wait until all do their work."""
        await self.migrate()
        self.webs = [self.web() for _ in range(2)]
        self.workers = [self.worker() for _ in range(2)]
        self.schedulers = [self.scheduler() for _ in range(2)]
        for seat in self.seats:
            seat.start()
        await self.ready()

    async def migrate(self, code: Code = OURS) -> None:
        """Bring the database to where the code has it."""
        environment = {**os.environ, **self._environment, "REDIS_URL": self.redis.url, "EVENTS": str(os.devnull)}
        command = [code.python, "manage.py", "migrate", "--verbosity", "0"]
        await asyncio.to_thread(subprocess.run, command, cwd=code.folder, env=environment, check=True)

    async def ready(self) -> None:
        """Wait until all seats do their work."""
        for seat in self.seats:
            await seat.ready()

    def close(self) -> None:
        """End all."""
        self._stack.close()

    async def aside(self, call: Callable[..., object], *arguments: object) -> None:
        """Do something that takes its time while the clients go on."""
        await asyncio.get_running_loop().run_in_executor(self._side, call, *arguments)

    # What can be done to it.

    def arm(self, place: str, action: str, nth: int = 1) -> None:
        """Have whoever comes by a place as the `nth` do something there; see `project/points.py`."""
        path = self._points / place
        part = path.with_suffix(".part")
        part.write_text(f"{action} {nth}")
        part.rename(path)

    def disarm(self) -> None:
        """Take back what has not happened yet, lose no more messages, and end any sabotage."""
        for path in self._points.iterdir():
            path.unlink(missing_ok=True)

    @property
    def armed(self) -> list[str]:
        """The places where something has still to happen."""
        return sorted(path.name for path in self._points.iterdir() if path.name.startswith(("before-", "after-")))

    def switch_off(self, what: str) -> None:
        """Sabotage the product; see `project/sabotage.py`."""
        self._points.joinpath(f"no-{what}").touch()

    def lose(self, share: float) -> None:
        """Have the channel layers lose this share of their messages."""
        self._points.joinpath("lose").write_text(str(share))

    async def rows(self, key: str) -> list[dict[str, Any]]:
        """Return the rows whose key begins so, as any web server gives them."""
        reply = await ask(f"{self.webs[0].url}/chaos/rows?key={key}")
        rows: list[dict[str, Any]] = json.loads(reply)["rows"]
        return rows

    def entries(self) -> set[str]:
        """Return the keys of all jobs' entries in the schedule."""
        return {key for key in self.redis.cli("HKEYS", "{delay.0}:entries").splitlines() if len(key) == 36}


async def ask(url: str, most: float = 5) -> bytes:
    """Return the body that is at a URL.

    :param most: seconds that it has for an answer.
    :raises OSError: if there is none, or none that is good.
    """

    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=most) as reply:
            body: bytes = reply.read()
            return body

    return await asyncio.to_thread(get)
