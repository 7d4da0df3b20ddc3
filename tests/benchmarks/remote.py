"""Runs the benchmark's remote service as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from tests.processes import die_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]


class Seen(NamedTuple):
    """What the service has been asked for so far: jobs to start, and looks at one of them."""

    jobs: int
    polls: int


class Remote:
    """The service: `with Remote(1000) as remote: ... remote.url`.

    :param every_ms: how many milliseconds it asks to wait from one look at a job to the next, give or take 10 %.
    """

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.farm", str(self._port)],
            cwd=ROOT,
            env={**os.environ, "EVERY_MS": str(self._every_ms)},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout, "expected a service with a pipe"
        assert self._process.stdout.readline() == "ready\n", "expected the service to listen, it has ended"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def seen(self) -> Seen:
        """Return what it has been asked for."""
        return self._ask("GET", "/seen")

    def finish(self) -> None:
        """Have all of its jobs be over at their next look."""
        self._ask("POST", "/finish")

    def wait_for(self, jobs: int, within: float) -> None:
        """Wait until it has been asked to start so many jobs.

        :param within: seconds.
        """
        until = time.monotonic() + within
        while (seen := self.seen()).jobs < jobs:
            assert time.monotonic() < until, f"expected {jobs} jobs to be started within {within} s, got {seen}"
            time.sleep(0.1)

    def _ask(self, method: str, path: str) -> Seen:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=Seen)
