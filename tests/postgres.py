"""Runs PostgreSQL as a real process for a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.processes import die_with_parent, free_port

START_MOST = 60.0
STOP_MOST = 60.0
USER = "progrock"
DEBIAN = Path("/usr/lib/postgresql")  # where Debian keeps what it does not put on the PATH


class PostgresServer:
    """One PostgreSQL on a port that it keeps: `with PostgresServer() as postgres: ... postgres.url`.

    :param durable: whether what is committed outlives a crash of the machine too, not of PostgreSQL alone.
    :param config: more of its settings.
    """

    def __init__(self, *, durable: bool = False, config: Iterable[tuple[str, object]] = ()) -> None:
        self.port = free_port()
        fast: dict[str, object] = {"fsync": "off", "full_page_writes": "off"}
        self._config = ({} if durable else fast) | dict(config)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
            if _as_whom():
                shutil.chown(self.folder, **_as_whom())
            self._make()
            stack.callback(self.kill)
            stack.callback(self._end)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where it is, for `DATABASE_URL`."""
        return f"postgres://{USER}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process, "expected a started PostgreSQL"
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text()

    def start(self) -> Self:
        """Start it and wait until it answers: on the same port, in the same folder.

        The kernel kills it with the thread that calls this, so that nothing is left behind whatever happens.
        """
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            "max_connections": 50,
            **self._config,
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self._cluster, *(f"--{name}={value}" for name, value in settings.items())],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
                **_as_whom(),
            )
        end = time.monotonic() + START_MOST
        while not self._answers():
            assert time.monotonic() < end, self.log
            time.sleep(0.02)
        return self

    def stop(self, *, immediate: bool = False) -> None:
        """Let it end: its sessions are cut off, and what they have not committed is undone.

        :param immediate: whether to leave the cleaning up to the next start, as after a crash.
        """
        assert self._process, "expected a started PostgreSQL"
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self._process.wait(STOP_MOST)

    def kill(self) -> None:
        """End it on the spot, and all its sessions, if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        # A session that outlives it, if only by a moment, keeps it from being started again.
        sessions = psutil.Process(self._process.pid).children()
        self._process.kill()
        self._process.wait()
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.kill()
        psutil.wait_procs(sessions, STOP_MOST)

    def _end(self) -> None:
        # Not by force: that would leave a segment of shared memory behind each time.
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(immediate=True)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop it and start it again, on the same port.

        :param immediate: as for `stop`.
        """
        self.stop(immediate=immediate)
        self.start()

    def sql(self, statement: str) -> str:
        """Run one statement and return what it finds: a line for each row, `|` between its values."""
        done = subprocess.run(
            [_program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", statement],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    @property
    def _cluster(self) -> str:
        return str(self.folder / "cluster")

    def _make(self) -> None:
        done = subprocess.run(
            [
                _program("initdb"),
                "-D",
                self._cluster,
                "-U",
                USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            **_as_whom(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _answers(self) -> bool:
        assert self._process, "expected a started PostgreSQL"
        assert self._process.poll() is None, self.log
        ask = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, timeout=30).returncode == 0


def _as_whom() -> dict[str, Any]:
    """Return who is to run it: it refuses to be run by root."""
    return {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}


def _program(name: str) -> str:
    """Return the path of one of its programs, of the newest version when there are several."""
    versions = sorted(DEBIAN.glob("[0-9]*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    for folder in (None, *versions):
        if program := shutil.which(name, path=folder and str(folder)):
            return program
    raise AssertionError(f"these tests need PostgreSQL, there is no {name}: make postgres")
