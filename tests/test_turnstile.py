"""Many come at once: nothing is asked about those who have waited too long, and nobody holds a turn for long."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any
from unittest.mock import AsyncMock

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from progrock import turnstile
from progrock.turnstile import Turnstile
from tests.until import until


class Site:
    """A turnstile with a place to sign in that takes its time, and sockets that stay open until the test ends."""

    def __init__(self) -> None:
        self.may_sign_in = asyncio.Event()
        self.over = asyncio.Event()
        self.asked: list[int] = []
        self.open: list[int] = []
        self.sent: Counter[int] = Counter()
        self.turnstile = Turnstile(self._signing_in, self._socket)

    def _signing_in(self, application: Any) -> Any:
        async def sign_in(scope: Any, receive: Any, send: Any) -> None:
            self.asked.append(scope["n"])
            await self.may_sign_in.wait()
            if scope.get("breaks"):
                raise RuntimeError("no session")
            await application(scope, receive, send)

        return sign_in

    async def _socket(self, scope: Any, receive: Any, send: Any) -> None:
        self.open.append(scope["n"])
        await self.over.wait()

    async def come(self, n: int, **scope: Any) -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            assert message == {"type": "websocket.close"}
            self.sent[n] += 1

        await self.turnstile({"type": "websocket", "n": n, **scope}, receive, send)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(turnstile, "PATIENCE", 10)
    return Site()


async def test_who_waits_too_long_is_sent_back_and_nothing_is_asked_about_them(
    site: Site, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnstile, "PATIENCE", 0.2)
    for n in range(50):
        tasks(site.come(n))
    first = list(range(turnstile.AT_ONCE))
    await until(lambda: len(site.sent) == 50 - turnstile.AT_ONCE)
    assert (site.asked, site.open) == (first, [])
    assert set(site.sent.values()) == {1}
    site.may_sign_in.set()
    await until(lambda: site.open == first)


async def test_who_has_signed_in_holds_no_turn(site: Site, tasks: Any) -> None:
    site.may_sign_in.set()
    for n in range(50):
        tasks(site.come(n))
    await until(lambda: len(site.open) == 50)
    assert not site.sent


async def test_who_leaves_or_breaks_while_signing_in_gives_the_turn_on(site: Site, tasks: Any) -> None:
    gone = [tasks(site.come(n)) for n in range(turnstile.AT_ONCE)]
    await until(lambda: len(site.asked) == turnstile.AT_ONCE)
    for each in gone[1:]:
        each.cancel()
    site.may_sign_in.set()
    breaking = asyncio.gather(*(site.come(n, breaks=True) for n in range(20, 40)), return_exceptions=True)
    assert [type(each) for each in await breaking] == [RuntimeError] * 20
    for n in range(40, 60):
        tasks(site.come(n))
    await until(lambda: len(site.open) == 21)
    assert not site.sent


@pytest.mark.django_db(transaction=True)
async def test_what_was_opened_to_find_it_out_is_closed_and_not_waited_for() -> None:
    """Django's own async queries close nothing; and of one that has gone, the question may still be asked."""
    asked, closed = threading.Event(), threading.Event()
    answered = threading.Event()

    def ask() -> None:
        mine = connections["default"]
        mine.ensure_connection()
        # Of a database in memory the last connection is never closed, so this is how it is seen.
        mine.close = closed.set  # type: ignore[method-assign]
        asked.set()
        answered.wait(10)

    def signing_in(application: Any) -> Any:
        async def sign_in(*asking: Any) -> None:
            await sync_to_async(ask)()

        return sign_in

    came = asyncio.ensure_future(Turnstile(signing_in, AsyncMock())({"type": "websocket"}, AsyncMock(), AsyncMock()))
    await until(asked.is_set)
    came.cancel()
    began = asyncio.get_running_loop().time()
    await asyncio.wait([came])
    assert asyncio.get_running_loop().time() - began < 5
    assert not closed.is_set()
    answered.set()
    await until(closed.is_set)
