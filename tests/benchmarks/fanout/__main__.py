"""`make bench-fanout`: updates from a publishing process through Redis and the web server to many sockets.

SOCKETS sockets on WEB web processes (SERVER=daphne or uvicorn) watch a job each, and UPDATES updates a second are
published for SECONDS seconds. With DASHBOARD=1, one socket has SOCKETS jobs in its list. The last line is one JSON
object, with the same figures of a plain Channels consumer, which gets one `group_send` an update, as `baseline_…`: on
the PubSub layer, or with LAYER=core on the other; BASELINE=0 leaves it out. CPU is in seconds for 1,000 updates, of all
web processes together; `late` is from the call that publishes to the client. `overtaken`: not delivered, but a newer
one of the same job; `missing`: neither.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import msgspec
import psutil

from tests.benchmarks.fanout.listener import WARM
from tests.benchmarks.figures import percentile
from tests.processes import die_with_parent, free_port
from tests.redis import RedisServer

ROOT = Path(__file__).resolve().parents[3]
SERVERS = {
    "daphne": ("daphne", "-v0", "-b127.0.0.1", "-p{port}"),
    "uvicorn": ("uvicorn", "--log-level=error", "--host=127.0.0.1", "--port={port}"),
}
_APPLICATION = "tests.benchmarks.fanout.asgi:application"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured."""

    sockets: int = 1000
    updates: int = 1000
    seconds: float = 20
    web: int = 1
    clients: int = 1
    server: str = "daphne"
    dashboard: bool = False
    core: bool = False


class Processes:
    """Redis, the publisher, the web processes and the listeners.

    :param plain: whether the listeners want the plain consumer.
    """

    def __init__(self, work: Work, folder: Path, redis: RedisServer, plain: bool) -> None:
        self._work = work
        self._folder = folder
        self._plain = ["--plain"] if plain else []
        self._environment = {
            **os.environ,
            "DEBUG": "1",
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.fanout.settings",
            "REDIS_URL": redis.url,
            "VAR_DIR": str(folder),
            "LOG_LEVEL": "WARNING",
            "CORE_LAYER": str(int(plain and work.core)),
        }
        self._started: list[subprocess.Popen[str]] = []
        assert self._start("manage.py", "migrate", "-v0").wait(60) == 0, "expected a database"
        amounts = f"--jobs={work.sockets} --a-second={work.updates} --seconds={work.seconds}".split()
        owners = 1 if work.dashboard else work.sockets
        self.publisher = self._start(
            "-m", "tests.benchmarks.fanout.publisher", str(folder), *amounts, f"--owners={owners}", *self._plain
        )
        ports = [free_port() for _ in range(work.web)]
        self._web = [
            self._start("-m", *(part.format(port=port) for part in SERVERS[work.server]), _APPLICATION)
            for port in ports
        ]
        self._ports = ports
        self._measured = [psutil.Process(pid) for pid in [redis.pid, self.publisher.pid, *(w.pid for w in self._web)]]

    def _start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        self._started.append(process)
        return process

    async def ready(self, within: float = 60) -> list[subprocess.Popen[str]]:
        """Wait until there are jobs and servers, and return the listeners."""
        assert await heard(self.publisher) == "seeded"
        until = time.monotonic() + within
        for port in self._ports:
            while not _answers(port):
                assert time.monotonic() < until, f"expected a server on port {port} within {within} s"
                await asyncio.sleep(0.1)
        parts = 1 if self._work.dashboard else self._work.clients
        more = [*self._plain, *(["--dashboard"] if self._work.dashboard else [])]
        listen = ("-m", "tests.benchmarks.fanout.listener", str(self._folder), *map(str, self._ports), *more)
        return [self._start(*listen, f"--part={n}", f"--parts={parts}") for n in range(parts)]

    def cpu(self) -> list[float]:
        """Return the CPU seconds of each: Redis, publisher, web processes."""
        return [sum(each.cpu_times()[:2]) for each in self._measured]

    def memory(self) -> int:
        """Return the bytes that the web processes have in memory."""
        return sum(each.memory_info().rss for each in self._measured[2:])

    def stop(self) -> None:
        """End all that were started."""
        for each in self._started:
            if each.poll() is None:
                each.kill()
                each.wait(10)


async def heard(process: subprocess.Popen[str]) -> str:
    """Return what a process says next."""
    assert process.stdout, "expected a process with a pipe"
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, f"expected {process.args!r} to say something, it has ended"
    return line.strip()


def tell(process: subprocess.Popen[str]) -> None:
    """Have a process go on."""
    assert process.stdin, "expected a process with a pipe"
    process.stdin.write("\n")
    process.stdin.flush()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def measure(work: Work, *, plain: bool = False) -> dict[str, Any]:
    """Run it once and return the figures."""
    with tempfile.TemporaryDirectory() as name, RedisServer() as redis:
        folder = Path(name)
        processes = Processes(work, folder, redis, plain)
        try:
            listeners = await processes.ready()
            memory = []
            for word in ("warm", "connected"):
                for each in listeners:
                    assert await heard(each) == word
                memory.append(processes.memory())
                if word == "warm":
                    for each in listeners:
                        tell(each)
            cpu, began = processes.cpu(), time.monotonic()
            tell(processes.publisher)
            assert await heard(processes.publisher) == "published"
            seconds = time.monotonic() - began
            used = [after - before for before, after in zip(cpu, processes.cpu(), strict=True)]
            for each in listeners:
                tell(each)
            frames = sum([json.loads(await heard(each))["frames"] for each in listeners])
        finally:
            processes.stop()
        told, came = array("q"), array("q")
        told.frombytes((folder / "told").read_bytes())
        for file in folder.glob("heard.*"):
            came.frombytes(file.read_bytes())
    updates = list(zip(told[0::2], told[1::2], strict=True))
    delivered = set(zip(came[0::3], came[1::3], strict=True))
    newest: dict[int, int] = {}
    for number, seq in delivered:
        newest[number] = max(seq, newest.get(number, 0))
    undelivered = [update for update in updates if update not in delivered]
    missing = sum(newest.get(number, 0) < seq for number, seq in undelivered)
    late = sorted(at - seq for seq, at in zip(came[1::3], came[2::3], strict=True))
    thousands = len(updates) / 1000
    connected = work.sockets - len(listeners) * WARM
    return {
        "delivered_per_s": round(len(delivered) / seconds),
        "late_p50_ms": percentile(late, 0.5) if late else None,
        "late_p99_ms": percentile(late, 0.99) if late else None,
        "server_cpu_s_per_1000": round(sum(used[2:]) / thousands, 4),
        "server_cpu_share": round(sum(used[2:]) / seconds, 3),
        "publisher_cpu_s_per_1000": round(used[1] / thousands, 4),
        "redis_cpu_s_per_1000": round(used[0] / thousands, 4),
        "kb_per_connection": round((memory[1] - memory[0]) / 1000 / connected, 1)
        if connected > 0 and not work.dashboard
        else None,
        "frames_per_s": round(frames / seconds),
        "overtaken": len(undelivered) - missing,
        "missing": missing,
        "doubled": len(came) // 3 - len(delivered),
    }


def main() -> None:
    """Run it as the environment says."""
    environment = {key.lower(): value for key, value in os.environ.items()}
    fields = {key: environment[key] for key in Work.__struct_fields__ if key in environment}
    work = msgspec.convert(fields | {"core": environment.get("layer") == "core"}, Work, strict=False)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The servers inherit it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    figures = {**msgspec.structs.asdict(work), **asyncio.run(measure(work))}
    if environment.get("baseline", "1") == "1" and not work.dashboard:
        print(json.dumps(figures), flush=True)
        figures |= {f"baseline_{key}": value for key, value in asyncio.run(measure(work, plain=True)).items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
