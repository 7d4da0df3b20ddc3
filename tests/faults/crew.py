"""The schedulers and workers of a fault test: processes that die with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.chains import CHANNEL
from tests.faults.events import Events
from tests.processes import die_with_parent
from tests.redis import RedisServer
from tests.until import until

ROOT = Path(__file__).resolve().parents[2]
START_MOST = 60.0


@dataclass(frozen=True)
class Code:
    """The code that a process runs.

    :param python: the interpreter of its environment.
    :param folder: its checkout.
    """

    python: str = sys.executable
    folder: Path = ROOT


OURS = Code()


class Hand:
    """One process."""

    def __init__(
        self, command: tuple[str, ...], environment: dict[str, str], log: Path, events: Events, code: Code
    ) -> None:
        self._log = log
        self._events = events
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [code.python, *command],
                cwd=code.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=die_with_parent,
            )
        self.pid = self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    @property
    def log(self) -> list[str]:
        """The lines that it has written so far."""
        return self._log.read_text().splitlines()

    async def present(self) -> None:
        """Wait until the store knows it."""

        def known() -> bool:
            assert self.code is None, "\n".join(self.log)
            return bool(self._events.of("present", pid=self.pid))

        await until(known, START_MOST)

    async def says(self, words: str, *, after: int = 0) -> None:
        """Wait until it has written this, after so many lines."""
        await until(lambda: any(words in line for line in self.log[after:]), START_MOST)

    async def end(self, within: float = START_MOST) -> int:
        """Wait until it has ended, and return its exit code."""
        await until(lambda: self.code is not None, within)
        assert self.code is not None
        return self.code

    async def stop(self, within: float = START_MOST) -> tuple[int, float]:
        """Ask it to end; return its exit code, and the seconds that it took."""
        began = time.monotonic()
        self.terminate()
        return await self.end(within), time.monotonic() - began

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> int:
        """End it on the spot. Returns when that was."""
        at = time.monotonic_ns()
        self._process.kill()
        self._process.wait()
        return at

    def freeze(self) -> None:
        """Keep it from running."""
        psutil.Process(self.pid).suspend()

    def thaw(self) -> None:
        """Let it run again."""
        psutil.Process(self.pid).resume()

    @property
    def stands(self) -> bool:
        """Whether it is frozen."""
        return self.code is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    async def frozen(self) -> None:
        """Wait until it has frozen itself."""
        await until(lambda: self.stands, START_MOST)


class Crew:
    """All processes of a test.

    :param environment: of all of them; see `project/`.
    """

    def __init__(self, redis: RedisServer, folder: Path, **environment: object) -> None:
        self.redis = redis
        self.events = Events(folder / "events")
        self.hands: list[Hand] = []
        self._folder = folder
        own = {
            "REDIS_URL": redis.url,
            "HAND_OFF": 1000,
            "DATABASE": folder / "db.sqlite3",
            "EVENTS": self.events.path,
            "DJANGO_SETTINGS_MODULE": "tests.faults.project.settings",
            **environment,
        }
        self._environment = {**os.environ, **{name: str(value) for name, value in own.items()}}

    def scheduler(self, *options: str, **environment: object) -> Hand:
        """Start `rundelay`, and do not wait."""
        return self.start("manage.py", "rundelay", *options, **environment)

    def worker(self, **environment: object) -> Hand:
        """Start `runworker counted`, and do not wait."""
        return self.start("manage.py", "runworker", CHANNEL, **environment)

    def start(self, *command: str, **environment: object) -> Hand:
        """Start a Python program, and do not wait."""
        return self.run(command, OURS, **environment)

    def run(self, command: tuple[str, ...], code: Code, /, **environment: object) -> Hand:
        """Start a Python program of some version, and do not wait."""
        more = {name: str(value) for name, value in environment.items()}
        log = self._folder / f"{len(self.hands)}.log"
        hand = Hand(command, {**self._environment, **more}, log, self.events, code)
        self.hands.append(hand)
        return hand

    async def present(self) -> None:
        """Wait until the store knows all that run."""
        for hand in self.hands:
            if hand.code is None:
                await hand.present()

    def close(self) -> None:
        """Kill all."""
        for hand in self.hands:
            hand.kill()

    def say(self) -> str:
        """Return what all of them wrote."""
        return "\n".join(f"--- {each.pid}, {each.code}\n" + "\n".join(each.log[-30:]) for each in self.hands)
