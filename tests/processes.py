"""What every test that starts a real server needs: a port for it, and its end."""

from __future__ import annotations

import ctypes
import random
import signal
import socket

_LIBC = ctypes.CDLL(None)


def free_port() -> int:
    """Return a port that nobody listens on.

    It is below those that clients get from the kernel, so that it stays free while its server is down.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("expected one free port among a hundred, got none")


def die_with_parent() -> None:
    """Have the kernel kill this process together with the one that started it; for `preexec_fn`."""
    _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
