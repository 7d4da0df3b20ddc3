"""What every test that starts a real server needs: a port for it, and its end."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import random
import signal
import socket
import tempfile
from pathlib import Path

import psutil

_LIBC = ctypes.CDLL(None)

_SHARES = 12
"""Processes that have a part of the ports each."""
_given: set[int] = set()
"""The ports that this process was given."""


def free_port() -> int:
    """Return a port that nobody listens on, and that no other process of tests is given.

    It is below those that clients get from the kernel, so that it stays free while its server is down.
    """
    size = 12_000 // _SHARES
    first = 20_000 + _share() * size
    if len(_given) > size // 2:
        _given.clear()
    for port in random.sample([each for each in range(first, first + size) if each not in _given], 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError("expected one free port among a hundred, got none")


@functools.cache
def _share() -> int:
    """Return which part of the ports is this process' own, as long as it lives."""
    for n in range(_SHARES):
        path = Path(tempfile.gettempdir()) / f"progrock-ports-{os.getuid()}-{n}"
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        return n  # the file stays open
    return random.randrange(_SHARES)


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process is over, though nobody may have taken note of it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def die_with_parent() -> None:
    """Have the kernel kill this process together with the one that started it; for `preexec_fn`."""
    _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
