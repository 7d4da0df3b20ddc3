"""Blocking calls in threads: their number, their links, and what is left of them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from progrock.services import threads
from progrock.services.threads import Threads
from progrock.step import Miss
from tests.until import until


class Link:
    """A link that a test may break."""

    def __init__(self) -> None:
        self.broken = False
        self.closed = False


class Server:
    """What hands out links, and hangs while its gate is shut."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.gate = threading.Event()
        self.gate.set()
        self.open = True

    def link(self) -> Link:
        if not self.open:
            raise ConnectionError("s3cret")
        self.links.append(Link())
        return self.links[-1]

    def check(self, link: Link) -> None:
        if link.broken:
            raise ConnectionError

    def close(self, link: Link) -> None:
        link.closed = True
        raise OSError("It was gone anyway.")

    def answer(self, link: Link) -> int:
        assert self.gate.wait(10)
        return self.links.index(link)

    def calls(self, *, most: int = 2, timeout: int = 5_000) -> Threads[Link]:
        return Threads("The server", self.link, self.check, self.close, most=most, timeout=timeout)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.gate.set()


async def test_a_link_is_used_again_while_it_is_whole(server: Server) -> None:
    calls = server.calls()
    assert [await calls.call(server.answer) for _ in range(3)] == [0, 0, 0]
    server.links[0].broken = True
    assert await calls.call(server.answer) == 1
    assert server.links[0].closed
    await calls.aclose()
    assert server.links[1].closed


async def test_a_link_that_lay_unused_for_long_is_not_trusted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = server.calls()
    await calls.call(server.answer)
    monkeypatch.setattr(threads, "_KEPT", 0.0)
    assert await calls.call(server.answer) == 1
    assert server.links[0].closed


async def test_a_call_that_raises_is_a_miss_and_its_link_is_closed(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(link: Link) -> None:
        raise ValueError("s3cret")

    calls = server.calls()
    for _ in range(3):
        assert await calls.call(fail) == Miss("unreachable", "The server is in trouble (ValueError).")
    assert [link.closed for link in server.links] == [True] * 3
    server.open = False
    assert await calls.call(fail) == Miss("unreachable", "The server cannot be reached.", heard=False)
    server.open = True
    assert await calls.call(server.answer) == 3
    assert await calls.call(fail) == Miss("unreachable", "The server is in trouble (ValueError).")
    # Once for each change, with the place instead of the words.
    said = [record.getMessage() for record in caplog.records]
    kinds = ["ValueError", "ConnectionError", "ValueError"]
    found = [re.fullmatch(r"The server is in trouble: (\w+) at .*test_threads.py:\d+", line) for line in said]
    assert [match and match[1] for match in found] == kinds


async def test_a_call_that_hangs_keeps_its_thread_and_no_more_than_allowed_do(server: Server) -> None:
    calls = server.calls(timeout=1_000)
    others = set(threading.enumerate())  # some may end meanwhile: tests before this one left them
    server.gate.clear()
    misses = await asyncio.gather(*(calls.call(server.answer) for _ in range(20)))
    late = Miss("unreachable", "The server did not answer in time.")
    never = Miss("unreachable", "The server cannot be reached.", heard=False)
    assert misses == [late] * 2 + [never] * 18
    hanging = set(threading.enumerate()) - others
    assert len(hanging) == 2
    assert len(server.links) == 2
    server.gate.set()
    await until(lambda: not any(each.is_alive() for each in hanging))
    assert await calls.call(server.answer) in (0, 1)


async def test_a_call_whose_link_comes_too_late_is_never_made(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Link] = []
    link = server.link

    def slow() -> Link:
        assert server.gate.wait(10)
        return link()

    monkeypatch.setattr(server, "link", slow)
    calls = server.calls(timeout=1_000)
    server.gate.clear()
    miss = await calls.call(asked.append)
    assert miss == Miss("unreachable", "The server cannot be reached.", heard=False)
    server.gate.set()
    await until(lambda: calls._kept)
    assert await calls.call(server.answer) == 0
    assert asked == []


async def test_what_is_used_while_all_is_closed_is_closed_when_it_is_done(server: Server) -> None:
    calls = server.calls()
    server.gate.clear()
    call = asyncio.ensure_future(calls.call(server.answer))
    await until(lambda: len(server.links) == 1)
    await calls.aclose()
    server.gate.set()
    assert await call == 0
    await until(lambda: server.links[0].closed)


async def test_a_caller_that_is_cancelled_gives_its_turn_back(server: Server) -> None:
    calls = server.calls(most=1)
    server.gate.clear()
    call = asyncio.ensure_future(calls.call(server.answer))
    await until(lambda: len(server.links) == 1)
    waiting = asyncio.ensure_future(calls.call(server.answer))
    await asyncio.sleep(0)
    for each in (call, waiting):
        each.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(call, waiting, return_exceptions=True)
    )
    server.gate.set()
    assert await calls.call(server.answer) == 0


@pytest.mark.django_db(transaction=True)
async def test_no_connection_to_the_database_stays_open(server: Server) -> None:
    """Some result backends ask by Django's ORM, each thread by a connection of its own."""
    asked: list[int] = []
    closed: list[int] = []

    def ask(link: Link) -> None:
        mine = connections["default"]
        mine.ensure_connection()
        asked.append(threading.get_ident())
        # Of a database in memory the last connection is never closed, so this is how it is seen.
        mine.close = lambda: closed.append(threading.get_ident())  # type: ignore[method-assign]

    assert await server.calls().call(ask) is None
    await until(lambda: closed)
    assert closed == asked
    assert asked != [threading.get_ident()]


@pytest.mark.parametrize(("most", "timeout"), [(0, 100), (1, 0)])
def test_calls_that_could_never_be_made_are_refused(server: Server, most: int, timeout: int) -> None:
    with pytest.raises(ValueError, match=f"got {timeout} and {most}"):
        server.calls(most=most, timeout=timeout)


def test_a_call_that_hangs_does_not_keep_the_process_from_ending() -> None:
    code = """
import asyncio, threading
from progrock.services.threads import Threads

def nothing(*_):
    return None

async def main():
    calls = Threads("The server", nothing, nothing, nothing, most=1, timeout=1_000)
    print(await calls.call(lambda link: threading.Event().wait(60)))

asyncio.run(main())
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60, check=True
    )
    assert "did not answer in time" in done.stdout
