"""The web server as a real process, with the embedded engine in it, or with worker and scheduler beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from tests.processes import die_with_parent, free_port
from tests.until import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
_empty: dict[str, bytes] = {}
"""The database of each settings, as `migrate` leaves it; to make it takes more than a second."""


class Command:
    """One of the project's commands as a real process; may be stopped and started again.

    :param arguments: of Python.
    """

    def __init__(self, arguments: Iterable[str], environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._command = [sys.executable, *arguments]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this object)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has written so far."""
        # Not by seek(), for where we read is where it writes.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it and do not wait."""
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        return self._process

    def stop(self, number: int = signal.SIGTERM, within: float = 20) -> int:
        """Ask it to stop and return its exit code."""
        assert self._process
        self._process.send_signal(number)
        return self._process.wait(within)

    def kill(self) -> None:
        """Kill it and everything it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Forget what it has written."""
        self._log.close()


class ServerProcess(Command):
    """`with ServerProcess(synth_url, folder) as server: ... server.url`.

    :param folder: where its database is.
    :param command: what to run; `{port}` is replaced.
    :param redis: the URL of the Redis that is its store: a worker and a scheduler run beside it, are started, stopped
        and killed with it. Without it, the engine runs inside the server.
    :param more: of their environment.
    """

    def __init__(
        self,
        synth_url: str,
        folder: Path,
        *,
        command: tuple[str, ...] = ("manage.py", "runserver", "--noreload", "{port}"),
        redis: str = "",
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.socket_url = f"ws://127.0.0.1:{self.port}/prog/"
        environment = {**os.environ, "DEBUG": "1", "VAR_DIR": str(folder), "SYNTH_URL": synth_url, "REDIS_URL": redis}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        environment.update(more or {})
        super().__init__((part.format(port=self.port) for part in command), environment)
        self._database = folder / "progrock.sqlite3"
        beside = [("runworker", "prog-rocker"), ("rundelay",)] if redis else []
        self.beside = [Command(["manage.py", *arguments], environment) for arguments in beside]

    def __enter__(self) -> ServerProcess:
        self._migrate()
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for each in (self, *self.beside):
            if error is not None:
                sys.stderr.write(each.log)
            each.close()

    def start(self, within: float = PATIENCE) -> ServerProcess:
        """Start all and wait until the server answers."""
        for each in (self, *self.beside):
            each.spawn()
        return self.wait(within)

    def wait(self, within: float = PATIENCE) -> ServerProcess:
        """Wait until it answers."""
        process = self._process
        assert process
        end = time.monotonic() + within
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=2):
                    return self
            except urllib.error.HTTPError:
                return self
            except OSError:
                assert process.poll() is None, self.log
                assert time.monotonic() < end, self.log
                time.sleep(0.02)

    def stop(self, number: int = signal.SIGINT, within: float = 20) -> int:
        """Ask all to stop and return the exit code of the server."""
        for each in self.beside:
            assert each.stop(signal.SIGTERM, within) == 0, each.log
        return super().stop(number, within)

    def kill(self) -> None:
        """Kill all, and everything they started."""
        super().kill()
        for each in self.beside:
            each.kill()

    def _migrate(self) -> None:
        settings = self.environment.get("DJANGO_SETTINGS_MODULE", "")
        if settings in _empty and not self._database.exists():
            self._database.write_bytes(_empty[settings])
            return
        fresh = not self._database.exists()
        self.manage("migrate", "--verbosity", "0")
        if fresh and self._database.exists():
            _empty[settings] = self._database.read_bytes()

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on the same database, in a process of its own."""
        return subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )


def session_of(server: ServerProcess) -> str:
    """Return the session cookie that the page gives a new visitor."""
    with urllib.request.urlopen(server.url) as response:
        cookies = response.headers.get_all("Set-Cookie")
    return str(next(cookie.split(";")[0] for cookie in cookies if cookie.startswith("sessionid=")))
