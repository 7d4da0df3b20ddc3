"""Runs Redis as real processes for a test: alone, as a cluster, behind a sentinel."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.processes import die_with_parent, free_port

START_MOST = 60.0


class _Process:
    """One redis-server process in a folder of its own, on a port that it keeps when it is started again."""

    def __init__(self, config: Iterable[str], *arguments: str) -> None:
        self.port = free_port()
        self._config = config
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-")))
            own = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}"]
            self._file.write_text("\n".join([*own, *self._config, ""]))
            stack.callback(self.kill)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def _file(self) -> Path:
        return self.folder / "redis.conf"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process, "expected a started Redis"
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text()

    def start(self) -> Self:
        """Start it and wait until it answers: on the same port, in the same folder.

        The kernel kills it with the thread that calls this, so that nothing is left behind whatever happens.
        """
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server: make redis"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, str(self._file), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        _wait(self._answers, self._said)
        return self

    def stop(self) -> None:
        """Let it end in order, as SIGTERM does: with an append-only file nothing is lost, without one all is."""
        assert self._process, "expected a started Redis"
        self._process.terminate()
        self._process.wait(10)

    def kill(self) -> None:
        """End it on the spot, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def cli(self, *command: object) -> str:
        """Run one command and return its answer, one line for each value in it."""
        done = self._ask(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def _ask(self, *command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["redis-cli", "-e", "-p", str(self.port), *map(str, command)], capture_output=True, text=True, timeout=30
        )

    def _signal(self, number: int) -> None:
        assert self._process, "expected a started Redis"
        self._process.send_signal(number)

    def _answers(self) -> bool:
        assert self._process, "expected a started Redis"
        assert self._process.poll() is None, self.log
        return self._ask("PING").stdout.strip() == "PONG"

    def _said(self) -> str:
        return self.log


class RedisServer(_Process):
    """One Redis: `with RedisServer() as redis: ... redis.url`.

    :param aof: keep an append-only file; without it, Redis is empty after each start.
    :param config: more lines for its configuration file.
    """

    def __init__(self, *, aof: bool = False, config: Iterable[str] = ()) -> None:
        super().__init__([f"appendonly {'yes' if aof else 'no'}", 'save ""', *config])

    @property
    def url(self) -> str:
        """Where it is, for `STORE` and for channel layers."""
        return f"redis://{self.address}/0"


class RedisCluster:
    """Three masters without replicas, a third of the slots each: `with RedisCluster() as cluster: ... cluster.url`."""

    SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.nodes = [stack.enter_context(_node()) for _ in self.SLOTS]
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where it is, for `STORE`."""
        return f"redis+cluster://{','.join(node.address for node in self.nodes)}"

    def _join(self) -> None:
        first = self.nodes[0]
        bus = first.cli("CONFIG", "GET", "cluster-port").split()[1]
        for epoch, (node, slots) in enumerate(zip(self.nodes, self.SLOTS, strict=True), 1):
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            node.cli("CLUSTER", "ADDSLOTSRANGE", *slots)
            if node is not first:
                node.cli("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        _wait(lambda: all(map(_has_joined, self.nodes)), lambda: first.cli("CLUSTER", "INFO"))


class RedisSentinel:
    """A Redis and the sentinel that knows where it is: `with RedisSentinel() as sentinel: ... sentinel.url`."""

    NAME = "mymaster"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.master = stack.enter_context(RedisServer())
            monitor = f"sentinel monitor {self.NAME} 127.0.0.1 {self.master.port} 1"
            self.sentinel = stack.enter_context(_Process([monitor], "--sentinel"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where it is, for `STORE`."""
        return f"redis+sentinel://{self.sentinel.address}/{self.NAME}/0"


def _node() -> RedisServer:
    # The port of the bus is 10,000 above by default, which may not exist.
    return RedisServer(config=["cluster-enabled yes", f"cluster-port {free_port()}", "cluster-node-timeout 15000"])


def _has_joined(node: RedisServer) -> bool:
    state = node.cli("CLUSTER", "INFO")
    return "cluster_state:ok" in state and "cluster_known_nodes:3" in state


def _wait(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + START_MOST
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)
