"""Tickets: good once, for half a minute, for one purpose, and for whom they were made."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.test import AsyncClient, override_settings

from progrock import registry, tickets
from progrock.exceptions import BadToken, Invalid, Unavailable
from progrock.identity import Identity
from progrock.routing import guarded, websocket
from progrock.tickets import make, redeem, ticket_for
from tests.processes import free_port

pytestmark = pytest.mark.django_db(transaction=True)
HOST = (b"host", b"testserver")


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis").url
    with override_settings(PROGROCK={"STORE": url}):
        yield
        await registry.aclose()


@pytest.fixture
async def ada() -> User:
    return await User.objects.acreate(username="ada", password="a hash of it")


class Door:
    """Where sockets knock."""

    def __init__(self) -> None:
        self.open: list[WebsocketCommunicator] = []

    async def knock(self, query: str, *headers: tuple[bytes, bytes]) -> WebsocketCommunicator | None:
        """Return the socket if it was let in."""
        socket = WebsocketCommunicator(guarded(websocket), f"/prog/?{query}", headers=[HOST, *headers])
        accepted, _ = await socket.connect()
        if not accepted:
            return None
        self.open.append(socket)
        assert (await socket.receive_json_from())["type"] == "hello"
        return socket


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    yield door
    for socket in door.open:
        await socket.disconnect()


@pytest.mark.usefixtures("store")
async def test_a_ticket_is_taken_once(ada: User) -> None:
    text = ticket_for(ada)
    assert (await redeem(text)).owner == f"user:{ada.pk}"
    with pytest.raises(BadToken, match="not used before"):
        await redeem(text)
    assert (await redeem(ticket_for(ada))).owner == f"user:{ada.pk}"


@pytest.mark.usefixtures("store")
async def test_a_ticket_that_is_too_old_is_none(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    young, old = ticket_for(ada), ticket_for(ada)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 20)
    await redeem(young)
    monkeypatch.setattr(time, "time", lambda: now + 31)
    with pytest.raises(BadToken, match="at most 30 s ago"):
        await redeem(old)


async def test_a_ticket_for_something_else_or_of_other_making_is_none(ada: User) -> None:
    text = ticket_for(ada)
    for other in (ticket_for(ada, purpose="door"), text[:-1], f"x{text}", "", "..:::", "é" * 5_000, "a:b:c"):
        with pytest.raises(BadToken):
            await redeem(other)
    with override_settings(SECRET_KEY="another"), pytest.raises(BadToken):
        await redeem(text)
    await redeem(text)


async def test_only_a_user_has_one() -> None:
    for nobody in (AnonymousUser(), "user:1", None):
        with pytest.raises(Invalid, match="user: expected"):
            ticket_for(nobody)


async def test_while_redis_is_away_nobody_is_let_in(ada: User, door: Door) -> None:
    with override_settings(PROGROCK={"STORE": f"redis://127.0.0.1:{free_port()}/0"}):
        text = ticket_for(ada)
        with pytest.raises(Unavailable):
            await redeem(text)
        assert await door.knock(f"ticket={text}") is None
        await registry.aclose()


async def test_who_has_a_ticket_needs_no_origin_and_no_cookie(ada: User, door: Door) -> None:
    text = quote(ticket_for(ada))
    socket = await door.knock(f"a=1&ticket={text}")
    assert socket is not None
    await socket.send_json_to({"action": "subscribe", "channel": "me"})
    assert (await socket.receive_json_from())["type"] == "subscribed"
    assert await door.knock(f"a=1&ticket={text}") is None
    assert await door.knock("a=1") is None
    assert await door.knock(f"ticket={ticket_for(ada)}&ticket={ticket_for(ada)}") is None
    assert await door.knock(f"ticket={ticket_for(ada)}", (b"origin", b"http://evil.com")) is None
    assert await door.knock(f"ticket={ticket_for(ada)}", (b"origin", b"null")) is None


async def test_a_bad_ticket_is_refused_whatever_the_origin_and_the_cookie(ada: User, door: Door) -> None:
    origin = (b"origin", b"http://testserver")
    assert await door.knock("", origin) is not None
    assert await door.knock("ticket=", origin) is None
    assert await door.knock(f"ticket={ticket_for(ada, purpose='door')}", origin) is None


async def test_a_ticket_speaks_for_whom_it_was_made_and_in_nobody_elses_browser(ada: User, door: Door) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    bob = AsyncClient()
    await bob.aforce_login(await User.objects.acreate(username="bob"))
    cookie = (b"cookie", f"sessionid={bob.cookies['sessionid'].value}".encode())
    assert await door.knock(f"ticket={ticket_for(ada)}", cookie) is None
    mine = (await bob.post("/prog/tickets/", {}, content_type="application/json")).json()
    assert 25_000 < mine["expires"] - time.time() * 1_000 <= 30_000
    assert await door.knock(f"ticket={mine['ticket']}", cookie) is not None

    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [HOST],
        "query_string": f"a=1&ticket={ticket_for(ada)}".encode(),
    }
    await guarded(application)(scope, None, None)  # type: ignore[arg-type]
    assert seen[0]["user"] == ada
    assert seen[0]["query_string"] == b"a=1"


async def test_a_ticket_of_who_may_not_log_in_any_more_is_none(ada: User, door: Door) -> None:
    before = ticket_for(ada)
    ada.set_password("another")
    await ada.asave()
    assert await door.knock(f"ticket={before}") is None
    before = ticket_for(ada)
    await User.objects.filter(pk=ada.pk).aupdate(is_active=False)
    assert await door.knock(f"ticket={before}") is None


async def test_a_browser_that_is_nobodys_has_tickets_for_its_session(door: Door) -> None:
    client = AsyncClient()
    made = (await client.post("/prog/tickets/", {}, content_type="application/json")).json()
    ticket = await redeem(made["ticket"])
    session = await client.asession()
    assert ticket.owner == f"session:{await session.aget('progrock.owner')}"
    again = (await client.post("/prog/tickets/", {}, content_type="application/json")).json()
    assert (await redeem(again["ticket"])).owner == ticket.owner
    socket = await door.knock(f"ticket={make(ticket.owner, Identity(mark='m'))}")
    assert socket is not None
    await socket.send_json_to({"action": "list"})
    assert (await socket.receive_json_from())["jobs"] == []


async def test_a_logout_ends_the_sockets_that_came_by_its_tickets(ada: User, door: Door) -> None:
    client = AsyncClient()
    await client.aforce_login(ada)
    made = (await client.post("/prog/tickets/", {}, content_type="application/json")).json()
    mine, other = await door.knock(f"ticket={made['ticket']}"), await door.knock(f"ticket={ticket_for(ada)}")
    assert mine is not None
    assert other is not None
    await client.alogout()
    assert (await mine.receive_output(5))["code"] == 4401
    await other.send_json_to({"action": "ping"})
    assert (await other.receive_json_from())["type"] == "pong"


async def test_a_ticket_of_a_session_that_is_over_is_none(ada: User, door: Door) -> None:
    client = AsyncClient()
    await client.aforce_login(ada)
    made = (await client.post("/prog/tickets/", {}, content_type="application/json")).json()
    await client.alogout()
    assert await door.knock(f"ticket={made['ticket']}") is None
    await client.aforce_login(ada)
    made = (await client.post("/prog/tickets/", {}, content_type="application/json")).json()
    assert await door.knock(f"ticket={made['ticket']}") is not None


async def test_a_logout_that_nobody_heard_of_is_found_at_the_next_look(
    ada: User, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word is lost, or came before the socket was there."""
    monkeypatch.setattr("progrock.vigil.EVERY", 0.1)
    monkeypatch.setattr("progrock.vigil.Vigil.hear", lambda *_: None)
    client = AsyncClient()
    await client.aforce_login(ada)
    made = (await client.post("/prog/tickets/", {}, content_type="application/json")).json()
    mine = await door.knock(f"ticket={made['ticket']}")
    assert mine is not None
    await client.alogout()
    assert (await mine.receive_output(5))["code"] == 4401


async def test_a_ticket_says_nothing_that_lets_anybody_in_for_longer(ada: User) -> None:
    body = ticket_for(ada).split(":")[0]
    said = base64.urlsafe_b64decode(body + "==").decode()
    assert ada.get_session_auth_hash() not in said
    assert ada.password[-10:] not in said
    assert tickets.LIFE == 30
