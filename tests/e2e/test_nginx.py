"""Behind nginx, as the how-to has it: websockets, events, long polls and files come through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import requests
import websockets

from tests.e2e.server import ServerProcess
from tests.nginx import Nginx


@pytest.fixture(scope="module")
def nginx(embedded: ServerProcess) -> Iterator[Nginx]:
    with Nginx(embedded.port) as nginx:
        yield nginx


@pytest.fixture
def caller(nginx: Nginx) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.get(nginx.url).raise_for_status()
        session.get(f"{nginx.url}/prog/jobs/").raise_for_status()
        # As a browser: Django compares the origin with the host that it is told.
        session.headers.update({"X-CSRFToken": str(session.cookies["csrftoken"]), "Origin": nginx.url})
        yield session


def start(nginx: Nginx, caller: requests.Session, length: float, mode: str = "clock") -> str:
    response = caller.post(f"{nginx.url}/prog/jobs/", json={"params": {"mode": mode, "length": length}})
    assert response.status_code == 202, response.text
    assert response.headers["Location"].startswith("/prog/jobs/")
    return str(response.json()["job"])


async def test_a_websocket_comes_through(nginx: Nginx) -> None:
    address = nginx.url.replace("http", "ws") + "/prog/"
    async with websockets.connect(address, origin=websockets.Origin(nginx.url)) as socket:
        assert json.loads(await socket.recv())["accept"] is True
        await socket.send('{"action": "start", "params": {"mode": "clock", "length": 0.5}}')
        frame = {"complete": False}
        for _ in range(100):
            frame = json.loads(await socket.recv())
            if frame["complete"]:
                break
        assert frame["complete"]


def test_events_come_through_as_they_are_sent(nginx: Nginx, caller: requests.Session) -> None:
    job = start(nginx, caller, 6)
    arrived: list[float] = []
    states: list[str] = []
    with caller.get(f"{nginx.url}/prog/jobs/{job}/stream", stream=True, timeout=30) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        # It is for nginx alone, and it has heeded it.
        assert "X-Accel-Buffering" not in response.headers
        for line in response.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                frame = json.loads(line.removeprefix(b"data: "))
                arrived.append(time.time() - frame["at"] / 1000)
                states.append(frame["state"])
    assert states[-1] == "succeeded"
    assert len(states) > 5
    # Each came when it was sent, and not all when it was over.
    assert sorted(arrived)[len(arrived) // 2] < 1


def test_a_long_poll_and_a_file_come_through(nginx: Nginx, caller: requests.Session) -> None:
    job = start(nginx, caller, 2, "render")
    result = caller.get(f"{nginx.url}/prog/jobs/{job}/result?wait=30", allow_redirects=False, timeout=40)
    for _ in range(5):
        if result.status_code != 202:
            break
        result = caller.get(f"{nginx.url}/prog/jobs/{job}/result?wait=30", allow_redirects=False, timeout=40)
    assert (result.status_code, result.headers["Location"]) == (303, f"/prog/jobs/{job}/file")
    file = caller.get(f"{nginx.url}{result.headers['Location']}")
    assert (file.status_code, file.content[:4]) == (200, b"RIFF")


def test_what_is_too_long_ends_at_the_proxy_and_nobody_moves_the_site(nginx: Nginx, caller: requests.Session) -> None:
    refused = caller.post(f"{nginx.url}/prog/jobs/", data=b"x" * 2_000_000)
    assert (refused.status_code, "nginx" in refused.headers["Server"]) == (413, True)
    moved = caller.get(f"{nginx.url}/prog/jobs/?limit=1", headers={"Daphne-Root-Path": "/evil", "Accept": "text/html"})
    assert (moved.status_code, "/evil" in moved.text) == (200, False)
