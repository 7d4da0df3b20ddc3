"""Sockets and streams end with what their identity rests on, and nobody else's do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.http import StreamingHttpResponse
from django.test import AsyncClient, override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from progrock import identity, registry, routing
from progrock import vigil as watching
from progrock.access import public_name
from progrock.consumers.receiver import Receiver
from progrock.contrib.celery_progress.websockets.consumers import ProgressConsumer
from progrock.contrib.celery_progress.websockets.routing import urlpatterns
from progrock.delay import StoreAway
from progrock.identity import Identity, of_user
from progrock.models import Job
from progrock.updates import Event, hub
from progrock.vigil import Vigil, vigil
from tests.conftest import until

pytestmark = pytest.mark.django_db(transaction=True)
Page = tuple[AsyncClient, WebsocketCommunicator]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY", 0.05)


@pytest.fixture
async def page() -> AsyncIterator[Callable[[str], Any]]:
    """Opens a page of somebody's, with a socket; without a name, of somebody who is not logged in."""
    sockets: list[WebsocketCommunicator] = []

    async def make(name: str) -> Page:
        client = AsyncClient()
        await client.get("/")
        if name:
            await client.aforce_login((await User.objects.aget_or_create(username=name))[0])
        cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
        stack = AuthMiddlewareStack(Receiver.as_asgi())
        socket = WebsocketCommunicator(stack, "/prog/", headers=[(b"cookie", cookie)])
        sockets.append(socket)
        await socket.connect()
        assert (await socket.receive_json_from())["type"] == "hello"
        return client, socket

    yield make
    for socket in sockets:
        await socket.disconnect()
    await until(lambda: not hub()._subscribers)
    assert vigil()._looking is None


async def code(socket: WebsocketCommunicator) -> int:
    told = await socket.receive_output(10)
    assert told["type"] == "websocket.close"
    return int(told["code"])


async def is_open(socket: WebsocketCommunicator) -> bool:
    await socket.send_json_to({"action": "ping"})
    return bool((await socket.receive_json_from())["type"] == "pong")


async def sign_out(client: AsyncClient) -> None:
    await Session.objects.filter(pk=client.cookies["sessionid"].value).adelete()


async def expire(client: AsyncClient) -> None:
    row = Session.objects.filter(pk=client.cookies["sessionid"].value)
    await row.aupdate(expire_date=timezone.now() - timedelta(seconds=1))


async def new_password(client: AsyncClient) -> None:
    user = await User.objects.aget(username="ada")
    user.set_password("another")
    await user.asave()


async def deactivate(client: AsyncClient) -> None:
    await User.objects.filter(username="ada").aupdate(is_active=False)


async def delete(client: AsyncClient) -> None:
    await User.objects.filter(username="ada").adelete()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("happens", [sign_out, expire, new_password, deactivate, delete])
async def test_a_socket_ends_with_what_it_rests_on_and_no_other_does(page: Any, happens: Any) -> None:
    ada, socket = await page("ada")
    (_, other), (_, nobody) = await page("bob"), await page("")
    await happens(ada)
    assert await code(socket) == 4401
    assert await is_open(other)
    assert await is_open(nobody)


@pytest.mark.usefixtures("often")
async def test_a_socket_on_the_key_from_before_a_login_ends_with_it(page: Any) -> None:
    # Whoever has given somebody that key has listened with it.
    client, socket = await page("")
    key = client.cookies["sessionid"].value
    await client.aforce_login(await User.objects.acreate(username="ada"))
    assert client.cookies["sessionid"].value != key
    assert await code(socket) == 4401


async def test_a_logout_ends_the_sockets_of_its_session_at_once(page: Any) -> None:
    (ada, socket), (_, elsewhere) = await page("ada"), await page("ada")
    # The first look at all of them is seconds away.
    await until(lambda: hub()._subscribers)
    await ada.alogout()
    assert await code(socket) == 4401
    assert await is_open(elsewhere)


async def test_the_word_of_a_logout_is_no_evidence(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = identity.gone

    def counted(identities: list[Identity]) -> list[Identity]:
        looks.append(identities)
        return look(identities)

    monkeypatch.setattr(watching, "gone", counted)
    monkeypatch.setattr(watching, "SOON", 0.01)
    _, socket = await page("ada")
    (mine,) = vigil()._over
    vigil().hear(Event("", mine.mark.encode()))
    await until(lambda: len(looks) == watching.TRIES)
    await until(lambda: not vigil()._doubted)
    assert await is_open(socket)


@pytest.mark.usefixtures("often")
async def test_a_database_that_is_away_ends_nobody(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def away(identities: object) -> list[Identity]:
        looks.append(identities)
        raise OperationalError("away")

    look = identity.gone
    monkeypatch.setattr(watching, "gone", away)
    ada, socket = await page("ada")
    await sign_out(ada)
    await until(lambda: len(looks) > 2)
    assert await is_open(socket)
    monkeypatch.setattr(watching, "gone", look)
    assert await code(socket) == 4401


def test_one_look_at_all_of_them_is_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    store = import_module(django_settings.SESSION_ENGINE).SessionStore
    held = []
    for n in range(20):
        session = store()
        session.create()
        user = User.objects.create(username=f"u{n}")
        held.append(identity._identity(user, session))
    User.objects.filter(username="u3").update(is_active=False)
    Session.objects.filter(pk=held[5].session).delete()
    with django_assert_num_queries(2):
        assert identity.gone(held) == [held[3], held[5]]


def test_who_was_let_in_though_inactive_stays() -> None:
    user = User.objects.create(username="ada", is_active=False)
    assert identity.gone([of_user(user)]) == []


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[None]:
    with override_settings(SESSION_FILE_PATH=str(tmp_path)):
        yield


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file"])
def test_every_engine_says_which_sessions_there_are(engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
        store = import_module(django_settings.SESSION_ENGINE).SessionStore
        keys = []
        for _ in range(3):
            session = store()
            session["kept"] = True
            session.create()
            keys.append(session.session_key)
        store(keys[1]).delete()
        expired = store(keys[2])
        expired.set_expiry(-1)
        expired.save()
        assert identity._sessions(keys) == {keys[0]}


async def test_sessions_in_cookies_rest_on_the_user_and_end_at_their_logout() -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        store = import_module(django_settings.SESSION_ENGINE).SessionStore()
        store["a"] = 1
        store.save()
        mine = identity._identity(User(pk=1, username="ada"), store)
    assert (mine.user, mine.session) == ("1", "")
    ended = asyncio.Event()
    watch = Vigil()
    release = watch.keep(mine, ended.set)
    watch.hear(Event("", b"\xff"))
    watch.hear(Event("", mine.mark.encode()))
    async with asyncio.timeout(60):
        await ended.wait()
    release()
    assert watch._looking is None


async def test_who_has_nothing_to_lose_is_not_watched() -> None:
    watch = Vigil()
    watch.keep(identity.of_scope({}), lambda: None)()
    assert watch._looking is None


def test_what_an_identity_rests_on_is_not_shown() -> None:
    assert repr(Identity("7", "secret", session="key", mark="mark")) == "Identity(user='7')"


@pytest.mark.usefixtures("often")
async def test_a_stream_says_that_it_ends_for_that(page: Any) -> None:
    ada, socket = await page("ada")
    response = await ada.get("/prog/updates?list=1", headers={"Accept": "text/event-stream"})
    assert isinstance(response, StreamingHttpResponse)
    source = aiter(response)
    first = [await anext(source), await anext(source)]
    assert b'"type":"jobs"' in first[1]
    await sign_out(ada)
    async with asyncio.timeout(60):
        rest = [part async for part in source]
    assert rest == [b"event: signed-out\ndata: {}\n\n"]
    assert await code(socket) == 4401


async def test_a_page_that_was_made_for_somebody_else_is_told_so(page: Any) -> None:
    """Whose page it is, is asked of a socket, and over HTTP."""
    nobodys, _ = await page("")
    session = f"session:{await (await nobodys.asession()).aget('progrock.owner')}"
    # The same browser, logged in.
    ada = await User.objects.acreate(username="ada")
    await nobodys.aforce_login(ada)
    cookie = (b"cookie", f"sessionid={nobodys.cookies['sessionid'].value}".encode())
    known = {f"user:{ada.pk}": True, session: True, "user:0": False}
    for word, goes in [("made up by a page", True), *((public_name(owner), goes) for owner, goes in known.items())]:
        name = quote(word)
        socket = WebsocketCommunicator(AuthMiddlewareStack(Receiver.as_asgi()), f"/prog/?who={name}", headers=[cookie])
        assert (await socket.connect())[0]
        if goes:
            assert (await socket.receive_json_from())["type"] == "hello"
        else:
            assert await code(socket) == 4401
        await socket.disconnect()
        response = await nobodys.get(f"/prog/jobs/?who={name}")
        assert response.status_code == (200 if goes else 401)
        assert goes or response.json()["code"] == "signed_out"


async def test_a_logout_is_heard_of_while_it_cannot_be_remembered(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule's Redis may be away, and that of the clients' layer not."""

    async def away(*_: object) -> bool:
        raise StoreAway("gone")

    monkeypatch.setattr(registry, "once", away)
    ada, socket = await page("ada")
    await ada.alogout()
    assert await code(socket) == 4401


async def test_a_new_secret_key_ends_no_session_and_no_page(settings: Any) -> None:
    """As long as the key of before is among the fallbacks: as Django has it, and Channels has not."""
    ada = await User.objects.acreate(username="ada")
    client = AsyncClient()
    await client.aforce_login(ada)
    key = client.cookies["sessionid"].value
    headers = [(b"cookie", f"sessionid={key}".encode()), (b"host", b"testserver"), (b"origin", b"http://testserver")]
    name = public_name(f"user:{ada.pk}")

    async def asks() -> dict[str, Any]:
        socket = WebsocketCommunicator(routing.guarded(routing.websocket), f"/prog/?who={name}", headers=headers)
        assert (await socket.connect())[0]
        told = await socket.receive_output(10)
        if "text" in told:
            await socket.send_json_to({"action": "list", "ref": "r"})
            told = await socket.receive_output(10)
        await socket.disconnect()
        return dict(told)

    before = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another one", ["older still", before]
    assert public_name(f"user:{ada.pk}") != name
    mine = await Job.objects.acreate(
        owner=f"user:{ada.pk}", service="s", created=timezone.now(), changed=timezone.now()
    )
    assert [each["job"] for each in json.loads((await asks())["text"])["jobs"]] == [str(mine.pk)]
    assert await Session.objects.filter(pk=key).aexists()
    # Forgotten, it signs nothing any more.
    settings.SECRET_KEY_FALLBACKS = []
    assert (await asks())["code"] == 4401


@pytest.mark.usefixtures("often")
async def test_the_socket_of_a_page_of_celery_progress_ends_too(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProgressConsumer, "_follow", lambda self: asyncio.sleep(60))
    ada, _ = await page("ada")
    cookie = (b"cookie", f"sessionid={ada.cookies['sessionid'].value}".encode())
    stack = AuthMiddlewareStack(URLRouter(urlpatterns))
    socket = WebsocketCommunicator(stack, "/ws/progress/a-task/", headers=[cookie])
    assert (await socket.connect())[0]
    await sign_out(ada)
    assert await code(socket) == 4401
    await socket.disconnect()


@pytest.mark.usefixtures("often")
async def test_who_comes_by_a_share_link_rests_on_no_session(page: Any) -> None:
    ada, mine = await page("ada")
    cookie = (b"cookie", f"sessionid={ada.cookies['sessionid'].value}".encode())
    socket = WebsocketCommunicator(AuthMiddlewareStack(Receiver.as_asgi()), "/prog/?share=link", headers=[cookie])
    assert (await socket.connect())[0]
    assert (await socket.receive_json_from())["type"] == "hello"
    await sign_out(ada)
    assert await code(mine) == 4401
    assert await is_open(socket)
    await socket.disconnect()
