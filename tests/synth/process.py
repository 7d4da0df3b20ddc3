"""Runs the remote service, synth, as a real process for a test."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Reply:
    """One HTTP reply, read to its end."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error reply."""
        return str(self.json["error"]["code"])


class SynthProcess:
    """A synth process: `with SynthProcess() as synth: ... synth.url`; it may be stopped and started again."""

    def __init__(self, *, home: Path | None = None, port: int = 0, args: tuple[str, ...] = ()) -> None:
        """Prepare a process that keeps its renders in `home` (None: a temporary one of its own)."""
        self.home = home
        self.port = port
        self._args = args
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object

    def __enter__(self) -> SynthProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._errors.close()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    @property
    def errors(self) -> str:
        """What it wrote to stderr so far."""
        # Not by seek(), for where we read is where it writes.
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode()

    def start(self, timeout: float = 20) -> SynthProcess:
        """Start it and wait until it listens; started again, it takes the port it had.

        Raises:
            RuntimeError: it ended, or did not listen within `timeout` seconds; with what it wrote to stderr.
        """
        command = [
            sys.executable,
            "-m",
            "synth",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            *self._args,
        ]
        if self.home is not None:
            command += ["--home", str(self.home)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        line = self._first_line(timeout)
        if not line.startswith("synth: listening on http://"):
            self.kill()
            raise RuntimeError(f"synth did not start: got {line!r}, and on stderr: {self.errors}")
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def stop(self, number: int = signal.SIGTERM, timeout: float = 10) -> int:
        """Ask it to stop and return its exit code."""
        process = self._running()
        process.send_signal(number)
        return self.wait(timeout)

    def kill(self) -> None:
        """Kill it at once, if it runs."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def wait(self, timeout: float = 10) -> int:
        """Wait until it has ended and return its exit code."""
        process = self._running()
        code = process.wait(timeout)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def cpu(self) -> float:
        """Give the CPU seconds it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        timeout: float = 10,
    ) -> Reply:
        """Send one request on a connection of its own; `body` is bytes, or anything that JSON can say.

        Raises:
            OSError, http.client.HTTPException: there was no whole reply.
        """
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=data, headers=headers or {})
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, found, reply.read())
        finally:
            connection.close()

    def trouble(self, *switches: dict[str, Any]) -> None:
        """Turn these trouble switches on, and all others off."""
        reply = self.call("PUT", "/v1/trouble", list(switches))
        if reply.status != 200:
            raise ValueError(reply.body.decode())

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("expected a started synth")
        return self._process

    def _first_line(self, timeout: float) -> str:
        out = self._running().stdout
        if out is None:
            raise RuntimeError("expected a pipe")
        deadline, line = time.monotonic() + timeout, b""
        while not line.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
            if select.select([out], [], [], left)[0]:
                piece = os.read(out.fileno(), 4096)
                if not piece:
                    break
                line += piece
        return line.decode().strip()
