"""Runs a service of somebody else's as a real process, from the environment that `make remotes` makes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import die_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-remotes"
START_MOST = 60.0


class RemoteProcess:
    """`with RemoteProcess(...) as remote: ... remote.url`: in a folder of its own, on a port of its own.

    A service that needs files writes them in :meth:`prepare`.
    """

    ready = "/"
    """What it answers once it is there."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remote-")))
            stack.callback(self.kill)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text()

    def command(self) -> Iterable[str]:
        """Return the program, by its name in that environment, and its arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return what it finds in its environment, beside what ours has."""
        return {}

    def prepare(self) -> None:
        """Write what it needs into its folder."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.prepare()
        self._process = spawn(self.command(), self.folder, self.environment())
        end = time.monotonic() + START_MOST
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, and everything that it started."""
        if self._process is not None:
            kill(self._process)

    def get(self, path: str) -> Any:
        """Return the JSON of one of its answers."""
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return json.load(reply)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self.ready, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            raise AssertionError(f"{self.ready}: {error.code}\n{self.log}") from error
        except OSError:
            return False


def spawn(command: Iterable[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program of that environment in a folder, where its `log` is, in a process group of its own."""
    program, *arguments = command
    path = HOME / "bin" / program
    assert path.exists(), f"these tests need {path}: make remotes"
    ours = {name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV")}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(path), *arguments],
            cwd=folder,
            env={**ours, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def version(name: str) -> str:
    """Return the version of a package in that environment."""
    (folder,) = HOME.glob("lib/python*/site-packages")
    (found,) = distributions(name=name, path=[str(folder)])
    return found.version
