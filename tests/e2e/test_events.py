"""Events, and jobs' ends, from another process to the pages of two users: to whom they are for, and nobody else."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, WebSocketRoute, expect

from tests.e2e.conftest import LONG, Client, connect
from tests.e2e.events_page import TOLD
from tests.e2e.server import ServerProcess
from tests.redis import RedisServer
from tests.synth.process import SynthProcess
from tests.until import until


@pytest.fixture(scope="module")
def server(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    more = {"DJANGO_SETTINGS_MODULE": "tests.e2e.events_page"}
    folder = tmp_path_factory.mktemp("events")
    with RedisServer() as redis, ServerProcess(synth.url, folder, redis=redis.url, more=more) as server:
        yield server


def elsewhere(server: ServerProcess, *lines: str) -> Any:
    """Do something in a process of its own, and return what it says."""
    head = (
        "import json",
        "from progrock import events, jobs",
        "from django.contrib.auth.models import User",
        "ada, bob = (User.objects.get(username=name) for name in ('ada', 'bob'))",
    )
    said = server.manage("shell", "-v", "0", "-c", "\n".join((*head, *lines))).stdout
    return json.loads(said or "null")


async def enter(server: ServerProcess, name: str) -> Client:
    """Log in, and open a websocket."""
    with urllib.request.urlopen(f"{server.url}/desk/{name}") as response:
        cookies = "; ".join(each.split(";")[0] for each in response.headers.get_all("Set-Cookie"))
    client = await connect(server, additional_headers={"Cookie": cookies})
    await client.hear()
    return client


async def test_two_users_hear_what_is_for_them_and_nothing_else(server: ServerProcess) -> None:
    ada, bob, stranger = await enter(server, "ada"), await enter(server, "bob"), await connect(server)
    job = (await ada.ask({"action": "start", "params": {"mode": "clock", "length": 60}}))["job"]
    for client in (ada, bob):
        for channel in ("me", "desk"):
            assert (await client.ask({"action": "subscribe", "channel": channel}))["type"] == "subscribed"
    assert (await ada.ask({"action": "subscribe", "channel": job}))["type"] == "subscribed"
    for client, channel in ((bob, job), (bob, "vault"), (stranger, "desk"), (stranger, job)):
        assert (await client.ask({"action": "subscribe", "channel": channel}))["code"] == "not_found"
    assert (await stranger.ask({"action": "subscribe", "channel": "me"}))["type"] == "subscribed"
    elsewhere(
        server,
        "events.trigger(ada, 'a', {'n': 1})",
        "events.trigger(f'user:{bob.pk}', 'b')",
        f"events.trigger('{job}', 'c')",
        "events.trigger(['channel:vault', 'channel:desk'], 'd')",
    )
    heard: dict[Client, list[tuple[str, str]]] = {}
    for client in (ada, bob):
        frames = await client.hear_until(lambda frame: frame.get("event") == "d")
        heard[client] = [(frame["channel"], frame["event"]) for frame in frames if frame["type"] == "event"]
    assert heard == {ada: [("me", "a"), (job, "c"), ("desk", "d")], bob: [("me", "b"), ("desk", "d")]}
    await stranger.say({"action": "ping"})
    assert [frame["type"] for frame in await stranger.hear_until(lambda frame: frame["type"] == "pong")] == ["pong"]
    await ada.ask({"action": "cancel", "job": job})
    for client in (ada, bob, stranger):
        await client.connection.close()


async def refuse(route: WebSocketRoute) -> None:
    await route.close(code=1011)


async def test_a_page_hears_another_process(context: BrowserContext, server: ServerProcess) -> None:
    """A page as of Pusher, by websocket and by stream; toasts on another; and who has none open is told otherwise."""
    (await enter(server, "bob")).connection.transport.abort()
    by_socket, by_stream, toasts = [await context.new_page() for _ in range(3)]
    await by_stream.route_web_socket(re.compile("/prog/"), refuse)
    for page in (by_socket, by_stream):
        await page.goto(f"{server.url}/desk/ada")
        await expect(page.locator("#state")).to_have_text("open", timeout=LONG)
        for words in ("listening", "signed in", "vault: not_found"):
            await expect(page.locator("li", has_text=words)).to_have_count(1, timeout=LONG)
    await toasts.goto(f"{server.url}/page/?of=toasts")
    await expect(toasts.locator("prog-rock-toasts[src]")).to_be_attached()
    mine, theirs = elsewhere(
        server,
        "from tests.e2e.events_page import desk",
        "ordered = desk()['ordered']",
        "ordered(7, bob)",
        "ordered(8, ada)",
        "mine = jobs.start('synth', {'mode': 'clock', 'length': 4}, owner=f'user:{ada.pk}').job",
        "theirs = jobs.start('synth', {'mode': 'clock', 'length': 5}, owner=f'user:{bob.pk}').job",
        "print(json.dumps([mine, theirs]))",
    )
    for page in (by_socket, by_stream):
        await expect(page.locator("li", has_text="order 8")).to_have_count(1, timeout=LONG)
        await expect(page.locator("li", has_text="paid 12")).to_have_count(1)
        await expect(page.locator("li", has_text="order 7")).to_have_count(1)
    toast = toasts.locator("prog-rock-toasts [part~=toast]")
    await expect(toast).to_contain_text("Done", timeout=LONG)
    await expect(toast).to_have_count(1)
    # Told otherwise is only who had no page: it ended later, and is told by now.
    told = Path(server.environment["VAR_DIR"]) / TOLD
    await until(lambda: told.exists() and theirs in told.read_text())
    assert mine not in told.read_text()
