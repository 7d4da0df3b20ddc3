"""Redis, a scheduler, a worker and a feeder of jobs as real processes, and the CPU of each."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from array import array
from pathlib import Path

import psutil

from progrock import registry
from progrock.delay import RedisStore
from tests.processes import die_with_parent
from tests.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]
STANDING = 2
"""The reconciler's entry, and that of the relays."""


class Processes:
    """Redis, the scheduler, the worker and the feeder.

    :param folder: where they leave what they saw.
    :param settings: the Django settings that they run with.
    :param environment: what these settings ask for.
    """

    def __init__(self, redis: RedisServer, folder: Path, settings: str, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "DEBUG": "1",
            "DJANGO_SETTINGS_MODULE": settings,
            "REDIS_URL": redis.url,
            "VAR_DIR": str(folder),
            **environment,
        }
        self._start("manage.py", "migrate", "-v0").wait(60)
        self._environment["STEPS_FOLDER"] = str(folder)
        self.scheduler = self._start("manage.py", "rundelay")
        self.worker = self._start("manage.py", "runworker", registry.CHANNEL)
        self._feeder = self._start("-m", "tests.benchmarks.feed", piped=True)
        pids = [redis.pid, self.scheduler.pid, self.worker.pid, self._feeder.pid]
        self._all = [psutil.Process(pid) for pid in pids]

    def _start(self, *command: str, piped: bool = False) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE if piped else None
        # Jobs are started faster than one worker takes them, which the feeder says of each.
        level = "ERROR" if piped else "WARNING"
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**self._environment, "LOG_LEVEL": level},
            stdin=pipe,
            stdout=pipe,
            text=True,
            preexec_fn=die_with_parent,
        )

    async def ready(self, store: RedisStore, within: float = 30) -> None:
        """Wait until all of them are."""
        assert await self.heard() == "ready"
        until = time.monotonic() + within
        while True:
            status = await store.status()
            if status.schedulers and any(reader.channel == registry.CHANNEL for reader in status.readers):
                return
            assert time.monotonic() < until, f"expected scheduler and worker within {within} s, got {status}"
            await asyncio.sleep(0.1)

    async def heard(self) -> str:
        """Return what the feeder says next."""
        assert self._feeder.stdout, "expected a feeder with a pipe"
        line = await asyncio.to_thread(self._feeder.stdout.readline)
        assert line, "expected the feeder to say something, it has ended"
        return line.strip()

    def tell(self) -> None:
        """Have the feeder go on."""
        assert self._feeder.stdin, "expected a feeder with a pipe"
        self._feeder.stdin.write("\n")
        self._feeder.stdin.flush()

    def cpu(self) -> list[float]:
        """Return the CPU seconds of each: Redis, scheduler, worker, feeder."""
        return [sum(each.cpu_times()[:2]) for each in self._all]

    def stop(self) -> None:
        """Have all of them write down what they saw."""
        for each in (self.worker, self.scheduler):
            each.send_signal(signal.SIGTERM)
        for each in (self.worker, self.scheduler, self._feeder):
            each.wait(30)

    def steps(self) -> list[tuple[int, int, int]]:
        """Return what the worker wrote down: of each step, whether it started its job, when it was, and how late."""
        seen = array("q")
        for file in self._folder.glob("*.late"):
            seen.frombytes(file.read_bytes())
        return list(zip(seen[0::3], seen[1::3], seen[2::3], strict=True))
