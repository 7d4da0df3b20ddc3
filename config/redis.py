"""The demo's Redis: the one that REDIS_URL names, or one of our own."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from .processes import Processes, Trouble

START_MOST = 30.0
ANSWER_MOST = 3.0
ONCE = Retry(NoBackoff(), 0)


def find(url: str) -> None:
    """Make sure that this one can be used, and never say its password."""
    try:
        with Redis.from_url(url, socket_timeout=ANSWER_MOST, retry=ONCE) as client:
            client.ping()
    except ValueError:
        raise Trouble(
            "Expected REDIS_URL as redis://host:port/db, rediss://... or unix://path, got something else."
        ) from None
    except RedisError as error:
        raise Trouble(f"The Redis of REDIS_URL cannot be used: {error}") from None


def start(processes: Processes, folder: Path) -> str:
    """Start one that keeps what it has in `folder`, and return its URL once it answers."""
    program = shutil.which("redis-server")
    if not program:
        raise Trouble("There is no redis-server. Try: sudo make redis, or REDIS_URL=redis://host:6379/0 make rock")
    folder.mkdir(parents=True, exist_ok=True)
    port, log = _free_port(), folder / "log"
    log.unlink(missing_ok=True)
    where = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--logfile", str(log))
    processes.start("redis", program, *where, "--appendonly", "yes", "--save", "", log=log)
    until = time.monotonic() + START_MOST
    with Redis(port=port, socket_timeout=ANSWER_MOST, retry=ONCE) as client:
        while time.monotonic() < until:
            processes.check()
            try:
                client.ping()
                return f"redis://127.0.0.1:{port}/0"
            except RedisError:  # not yet
                time.sleep(0.02)
    raise Trouble(f"Redis did not answer within {START_MOST:.0f} s, see {log}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
