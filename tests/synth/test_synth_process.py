"""Checks the process: its one line, its end, a taken port, a shared home, and its memory."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.synth.process import ROOT, SynthProcess

Until = Callable[[Callable[[], Any]], Any]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "synth", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_a_second(own: SynthProcess, number: int, until: Until) -> None:
    # Busy with everything that could keep it: tracks, a hanging request, an open connection.
    paths = [own.call("POST", "/v1/renders", {"length": 600, "pace": 20}).headers["location"] for _ in range(3)]
    until(lambda: own.call("GET", paths[0]).json["done"] > 0)
    own.trouble({"kind": "hang"})
    with socket.create_connection(("127.0.0.1", own.port)) as idle:
        idle.sendall(f"GET {paths[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: own.call("GET", "/v1/stats").json["trouble"] == 1)
        began = time.monotonic()
        assert own.stop(number) == 0
        assert time.monotonic() - began < 5  # of the thirty that the tracks take
    assert own.errors == ""


def test_a_signal_while_it_starts_leaves_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # Its first own act is to take the signals over; only Python's start comes before.
    deadline = time.monotonic() + 10
    while not _blocks(process.pid, signal.SIGTERM) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def _blocks(pid: int, number: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def test_a_taken_port_is_one_clear_line(own: SynthProcess) -> None:
    result = run("--port", str(own.port))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert str(own.port) in result.stderr
    assert "in use" in result.stderr


def test_a_home_has_one_process(own: SynthProcess) -> None:
    result = run("--port", "0", "--home", str(own.home))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "in use by another synth" in result.stderr


def test_a_bad_port_is_refused() -> None:
    result = run("--port", "70000")
    assert result.returncode == 2
    assert "expected a port from 0 to 65535, got '70000'" in result.stderr


def test_a_temporary_home_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with SynthProcess() as process:
        path = process.call("POST", "/v1/renders", {"length": 60}).headers["location"]
        until(lambda: process.call("GET", path).json["done"] > 0)
        assert list(tmp_path.glob("synth-*/*.part"))
        assert process.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_requests_are_logged_only_when_asked(own: SynthProcess) -> None:
    own.call("GET", "/healthz")
    own.stop()
    assert own.errors == ""
    with SynthProcess(args=("--verbose",)) as loud:
        loud.call("GET", "/healthz")
        loud.stop()
        assert "GET /healthz" in loud.errors


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_knows_its_renders_again(own: SynthProcess, end: str, until: Until) -> None:
    finished = own.call("POST", "/v1/renders", {"length": 0.5, "pace": 100, "seed": 3}, {"Idempotency-Key": "f"}).json
    path = f"/v1/renders/{finished['id']}"
    until(lambda: own.call("GET", path).json["state"] == "succeeded")
    finished = own.call("GET", path).json
    data = own.call("GET", f"{path}/file").body
    half = own.call("POST", "/v1/renders", {"length": 3, "seed": 3}, {"Idempotency-Key": "h"}).json
    called_off = own.call("POST", "/v1/renders", {"mode": "clock"}).headers["location"]
    own.call("DELETE", called_off)
    clock = own.call("POST", "/v1/renders", {"mode": "clock", "length": 600}).headers["location"]
    until(lambda: own.call("GET", f"/v1/renders/{half['id']}").json["done"] > 33_000)
    port = own.port
    getattr(own, end)()
    assert own.home is not None
    (own.home / "stray.part").touch()
    own.start()
    assert own.port == port
    assert own.call("GET", path).json == finished
    assert own.call("GET", f"{path}/file").body == data
    assert own.call("GET", called_off).json["state"] == "cancelled"
    assert own.call("GET", clock).json["state"] == "running"
    again = own.call("GET", f"/v1/renders/{half['id']}").json
    assert again["state"] in ("queued", "running")
    assert (again["title"], again["seed"], again["total"]) == (half["title"], half["seed"], half["total"])
    assert again["done"] < 33_000
    replay = own.call("POST", "/v1/renders", {"length": 3, "seed": 3}, {"Idempotency-Key": "h"})
    assert (replay.status, replay.json["id"]) == (200, half["id"])
    until(lambda: own.call("GET", f"/v1/renders/{half['id']}").json["state"] == "succeeded")
    assert not list(own.home.glob("*.part"))
    assert own.call("GET", "/v1/stats").json["starts"] == 0


def test_thousands_of_clock_renders_are_cheap(own: SynthProcess) -> None:
    ids: list[str] = []

    def some() -> None:
        line = http.client.HTTPConnection("127.0.0.1", own.port)
        for _ in range(250):
            line.request("POST", "/v1/renders", body=b'{"mode":"clock","length":600}')
            ids.append(json.loads(line.getresponse().read())["id"])
        line.close()

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before = own.cpu()
    for _ in range(10):
        answer = own.call("POST", "/v1/renders/status", {"ids": ids}).json
        assert len(answer["renders"]) == 1_000
    assert own.cpu() - before < 1
    assert own.call("GET", "/v1/stats").json["live"] == 1_000
