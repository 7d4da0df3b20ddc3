"""HTTP against real servers: what a stream is to a client that is cut off, and what is left of it in the server."""

from __future__ import annotations

import itertools
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import until
from tests.e2e.server import ServerProcess
from tests.redis import RedisServer
from tests.synth.process import SynthProcess

SERVERS = {
    "daphne": ("-m", "daphne", "-p", "{port}", "config.asgi:application"),
    "uvicorn": ("-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "config.asgi:application"),
}


@pytest.fixture(scope="module")
def other_redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module", params=SERVERS)
def site(
    request: pytest.FixtureRequest, synth: SynthProcess, other_redis: RedisServer, tmp_path_factory: Any
) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    other_redis.cli("FLUSHALL")
    with ServerProcess(synth.url, folder, command=SERVERS[request.param], redis=other_redis.url) as server:
        yield server


class Caller(requests.Session):
    """A program that keeps cookies."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__()
        self.port = server.port
        self.get(server.url).raise_for_status()
        self.get(self.url("jobs/")).raise_for_status()
        self.headers["X-CSRFToken"] = str(self.cookies["csrftoken"])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/prog/{path}"

    def start(self, length: float) -> str:
        response = self.post(self.url("jobs/"), json={"params": {"mode": "clock", "length": length}})
        assert response.status_code == 202
        return str(response.json()["job"])


@pytest.fixture
def caller(site: ServerProcess) -> Iterator[Caller]:
    with Caller(site) as caller:
        yield caller


def frames(response: requests.Response) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Yield the events of a stream, each with its id."""
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    event: dict[str, str] = {}
    for line in response.iter_lines(chunk_size=1):
        name, colon, value = line.decode().partition(": ")
        if not line:
            if "data" in event:
                yield event.get("id"), json.loads(event["data"])
            event = {}
        elif name and colon:
            event[name] = value


def test_a_stream_is_followed_over_cuts_to_its_end(caller: Caller) -> None:
    job = caller.start(4)
    seen: list[dict[str, Any]] = []
    lines: dict[int, None] = {}
    cursor: str | None = None
    for cut in range(100):
        headers = {"Last-Event-ID": cursor} if cursor else {}
        response = caller.get(caller.url(f"jobs/{job}/stream"), headers=headers, stream=True, timeout=30)
        if response.status_code == 204:
            break
        for number, (newest, frame) in enumerate(frames(response)):
            if not frame["seq"] and seen:
                continue  # the first step has begun, and has not spoken: what is held stays
            if number == 0 and seen:
                assert frame["resume"] == ("recovered" if cursor else "reset")
            cursor = newest
            lines |= dict.fromkeys(line["n"] for line in frame.get("journal", []))
            if not seen or frame["seq"] != seen[-1]["seq"]:
                seen.append(frame)
            if number > cut:
                break
        response.close()
    else:
        raise AssertionError("it never ended")
    seqs = [frame["seq"] for frame in seen]
    assert seqs == sorted(set(seqs))
    assert cut >= 2
    assert (seen[-1]["state"], list(lines)) == ("succeeded", list(range(1, seen[-1]["lines"] + 1)))
    assert caller.get(caller.url(f"jobs/{job}/")).json()["seq"] == seqs[-1]


async def test_of_clients_that_are_killed_nothing_is_left(
    caller: Caller, site: ServerProcess, other_redis: RedisServer
) -> None:
    job = caller.start(300)
    process = psutil.Process(site.pid)
    before = process.num_threads()

    def databases() -> int:
        return sum(file.path.endswith("progrock.sqlite3") for file in process.open_files())

    def groups() -> list[str]:
        return [name for name in other_redis.cli("PUBSUB", "CHANNELS", "*prog-updates*").split("\n") if name]

    await until(lambda: not groups())
    paths = [f"/prog/jobs/{job}/stream", f"/prog/updates?list=1&job={job}"]
    streams = [open_stream(caller, path) for path, _ in itertools.product(paths, range(10))]
    assert groups()
    # What they were answered is read; now they hear news, and hold no database connection and no thread.
    for stream in streams:
        assert b"update" in stream.recv(65_536) or b"update" in stream.recv(65_536)
    await until(lambda: databases() == 0)
    await until(lambda: process.num_threads() <= before + 6)
    for stream in streams:
        # As a client that is killed: no goodbye, what it did not read is thrown away.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()
    await until(lambda: not groups())
    caller.post(caller.url(f"jobs/{job}/cancel")).raise_for_status()


def open_stream(caller: Caller, path: str) -> socket.socket:
    """Return a socket on which a stream has begun."""
    stream = socket.create_connection(("127.0.0.1", caller.port), timeout=15)
    cookies = "; ".join(f"{name}={value}" for name, value in caller.cookies.items())
    headers = f"Host: 127.0.0.1\r\nCookie: {cookies}\r\nAccept: text/event-stream\r\n"
    stream.sendall(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
    answer = b""
    while b"data: {" not in answer:
        part = stream.recv(65_536)
        assert part, answer
        answer += part
    assert b" 200 " in answer.split(b"\r\n")[0]
    return stream


def test_a_long_poll_hears_of_an_end(caller: Caller) -> None:
    job = caller.start(3)
    heard: list[dict[str, Any]] = []
    after = 0
    for _ in range(200):
        response = caller.get(caller.url(f"updates?job={job}:{after}&wait=10"), timeout=30)
        (frame,) = response.json()["frames"]
        heard.append(frame)
        after = frame["seq"]
        if frame["complete"]:
            break
    assert heard[-1]["state"] == "succeeded"
    seqs = [frame["seq"] for frame in heard]
    assert seqs == sorted(set(seqs))
    # It waits for news, and does not ask all the time.
    assert len(heard) < 40
