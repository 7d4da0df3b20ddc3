"""The web server as a real process, with the embedded engine in it."""

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
from pathlib import Path
from types import TracebackType

from tests.processes import free_port

ROOT = Path(__file__).resolve().parents[2]


class ServerProcess:
    """`with ServerProcess(synth_url, folder) as server: ... server.url`; may be stopped and started again.

    :param folder: where its database is.
    :param command: what to run; `{port}` is replaced.
    """

    def __init__(
        self,
        synth_url: str,
        folder: Path,
        *,
        command: tuple[str, ...] = ("manage.py", "runserver", "--noreload", "{port}"),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.socket_url = f"ws://127.0.0.1:{self.port}/prog/"
        self.environment = {**os.environ, "DEBUG": "1", "VAR_DIR": str(folder), "SYNTH_URL": synth_url}
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self._command = [sys.executable, *(part.format(port=self.port) for part in command)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this object)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServerProcess:
        self.manage("migrate", "--verbosity", "0")
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            sys.stderr.write(self.log)
        self._log.close()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        self._log.seek(0)
        return self._log.read().decode()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it and do not wait."""
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self.environment, stdout=self._log, stderr=self._log, start_new_session=True
        )
        return self._process

    def start(self, within: float = 20) -> ServerProcess:
        """Start it and wait until it answers."""
        self.spawn()
        return self.wait(within)

    def wait(self, within: float = 20) -> ServerProcess:
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

    def stop(self, number: int = signal.SIGINT, within: float = 10) -> int:
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
