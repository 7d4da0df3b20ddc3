"""Processes that are started, watched and stopped together."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STOP_MOST = 2.0
_LIBC = ctypes.CDLL(None)


class Trouble(Exception):
    """Why it does not run, in one line."""


class Processes:
    """The running processes, by name."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Path] = {}

    def start(self, name: str, *command: str, read: bool = False, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start one.

        :param read: whether its output is for the caller, as the `stdout` of what is returned.
        :param log: where it says what is wrong, if not where we do.
        """
        if log:
            self._logs[name] = log
        with _signals_wait() as before:
            process = self._running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if read else subprocess.DEVNULL,
                # Ctrl-C reaches this process alone, which then stops the others in order.
                start_new_session=True,
                preexec_fn=partial(_begin, before),
            )
        return process

    def run(self, name: str, *command: str) -> int:
        """Run one to its end and return its exit code."""
        code = self.start(name, *command).wait()
        del self._running[name]
        return code

    def check(self) -> None:
        """Raise `Trouble` if one has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                where = self._logs.get(name, "above")
                raise Trouble(f"The {name} process ended by itself (exit code {process.returncode}), see {where}.")

    def stop(self, last: Collection[str]) -> None:
        """Stop all: first those that need the others, then, once they are gone, the `last`."""
        _stop([process for name, process in self._running.items() if name not in last])
        _stop([process for name, process in self._running.items() if name in last])


def _stop(processes: Collection[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    until = time.monotonic() + STOP_MOST
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
            continue
        process.kill()
        process.wait()


@contextlib.contextmanager
def _signals_wait() -> Iterator[set[int]]:
    """Hold what asks to stop back: what is raised in a callback of fork is lost, and so is a process without a name."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield set(before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(signals: Iterable[int]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG: nothing is left behind, even if this process is killed.
        _LIBC.prctl(1, signal.SIGKILL)
