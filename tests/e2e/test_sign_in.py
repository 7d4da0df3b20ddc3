"""Who may open a socket, as whom, and until when, against two real daphnes that share a database and a Redis.

Section G of the fault list, and who shows what:

| | |
|---|---|
| G05 to G09 | `test_only_pages_of_this_site_open_a_socket`; test_origins.py |
| G12 | `test_a_logout_on_one_server_ends_a_socket_on_another`; test_identity.py |
| G13 | test_identity.py: a socket ends with what it rests on |
| G15 to G17 | `test_a_ticket_lets_in_once`; test_tickets.py |
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests
import websockets
from playwright.async_api import BrowserContext, expect

from tests.e2e.conftest import LONG, connect
from tests.e2e.server import ServerProcess, session_of
from tests.redis import RedisServer
from tests.synth.process import SynthProcess

DAPHNE = ("-m", "daphne", "-v2", "--access-log", "-", "-b127.0.0.1", "-p{port}", "tests.e2e.signed:application")
ADA = "from django.contrib.auth.models import User; User.objects.create_superuser('ada', password='a')"


@pytest.fixture(scope="module")
def servers(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    folder = tmp_path_factory.mktemp("signed")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer()).url
        both = [ServerProcess(synth.url, folder, command=DAPHNE, redis=redis) for _ in range(2)]
        for beside in both[1].beside:
            beside.close()
        both[1].beside.clear()
        stack.enter_context(both[0])
        stack.push(both[1]).start()
        both[0].manage("shell", "-c", ADA)
        yield both


class Person(requests.Session):
    """Somebody's browser, without the page."""

    def log_in(self, server: ServerProcess) -> str:
        """Log in, and return the cookie of the session."""
        self.get(server.url).raise_for_status()
        self._send(server, "login", username="ada", password="a")
        return f"sessionid={self.cookies['sessionid']}"

    def log_out(self, server: ServerProcess) -> None:
        self._send(server, "logout")

    def ticket(self, server: ServerProcess) -> str:
        headers = {"X-CSRFToken": str(self.cookies["csrftoken"])}
        answer = self.post(f"{server.url}/prog/tickets/", json={}, headers=headers)
        answer.raise_for_status()
        return str(answer.json()["ticket"])

    def _send(self, server: ServerProcess, what: str, **fields: str) -> None:
        page = self.get(f"{server.url}/admin/login/").text
        token, *_ = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        wish = {**fields, "csrfmiddlewaretoken": token}
        answer = self.post(f"{server.url}/admin/{what}/", wish, allow_redirects=False)
        assert answer.status_code == (302 if what == "login" else 200)


@pytest.fixture
def person() -> Iterator[Person]:
    with Person() as person:
        yield person


async def refused(server: ServerProcess, origin: str | None, query: str = "", cookie: str = "") -> int:
    """Return the status that a handshake is refused with."""
    headers = {"Cookie": cookie, **({} if origin is None else {"Origin": origin})}
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await websockets.connect(server.socket_url + query, additional_headers=headers)
    return int(refusal.value.response.status_code)


async def test_only_pages_of_this_site_open_a_socket(servers: list[ServerProcess]) -> None:
    server = servers[0]
    cookie = await asyncio.to_thread(session_of, server)
    own = await connect(server, additional_headers={"Cookie": cookie})
    await own.connection.close()
    host, tls = f"127.0.0.1:{server.port}", server.url.replace("http:", "https:")
    longer, other = f"http://127.0.0.1.evil.com:{server.port}", servers[1].url
    forged = ("http://evil.com", "null", longer, f"http://evil-{host}", tls, other, None)
    for origin in forged:
        assert await refused(server, origin, cookie=cookie) == 403, origin


async def test_a_logout_on_one_server_ends_a_socket_on_another(servers: list[ServerProcess], person: Person) -> None:
    cookie = await asyncio.to_thread(person.log_in, servers[0])
    socket = await connect(servers[1], additional_headers={"Cookie": cookie})
    assert (await socket.hear())["type"] == "hello"
    await asyncio.to_thread(person.log_out, servers[0])
    # Long before the next look at all of them.
    assert await socket.closed(within=20) == 4401


async def test_a_ticket_lets_in_once(servers: list[ServerProcess], person: Person) -> None:
    await asyncio.to_thread(person.log_in, servers[0])
    ticket = await asyncio.to_thread(person.ticket, servers[0])
    async with websockets.connect(f"{servers[0].socket_url}?ticket={ticket}") as socket:
        assert json.loads(await socket.recv())["type"] == "hello"
    for server in servers:
        assert await refused(server, None, f"?ticket={ticket}") == 403
        assert await refused(server, server.url, f"?ticket={ticket[:-1]}") == 403
        assert "WSCONNECTING /prog/" in server.log
        assert ticket[:40] not in server.log


async def test_the_page_says_that_one_is_signed_out(
    servers: list[ServerProcess], person: Person, context: BrowserContext
) -> None:
    server = servers[0]
    name, _, key = (await asyncio.to_thread(person.log_in, server)).partition("=")
    await context.add_cookies([{"name": name, "value": key, "url": server.url}])
    page = await context.new_page()
    await page.goto(server.url)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=LONG)
    socket = await connect(server, additional_headers={"Cookie": f"{name}={key}"})
    job = (await socket.ask({"action": "start", "params": {"mode": "clock", "length": 300}}))["job"]
    await page.evaluate(
        """job => {
            const shown = document.createElement('prog-rock');
            shown.setAttribute('job', job);
            document.body.append(shown);
        }""",
        job,
    )
    status = page.locator("body > prog-rock [part=status]")
    await expect(status).to_have_text("Running", timeout=LONG)
    await asyncio.to_thread(person.log_out, server)
    assert await socket.closed(within=20) == 4401
    await expect(page.locator("#connection-words")).to_have_text("Signed out", timeout=20_000)
    await expect(status).to_have_text("You are signed out. This is how it stood.")
    await expect(page.locator("body > prog-rock")).to_have_attribute("condition", "signed-out")
