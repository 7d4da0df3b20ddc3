"""The page of docs/howto/use-it-without-our-page.md in a real browser, on every way to the server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.async_api import BrowserContext, Page, WebSocketRoute, expect

from tests.e2e.conftest import LONG
from tests.e2e.server import ServerProcess
from tests.synth.process import SynthProcess
from tests.until import until


@pytest.fixture(scope="module")
def server(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    more = {"DJANGO_SETTINGS_MODULE": "tests.e2e.own_page"}
    with ServerProcess(synth.url, tmp_path_factory.mktemp("own"), more=more) as server:
        yield server


async def refuse(route: WebSocketRoute) -> None:
    await route.close(code=1011)


async def run(page: Page) -> None:
    await page.click("button >> nth=0")
    await expect(page.locator("output")).to_contain_text("succeeded", timeout=LONG)
    assert await page.evaluate("document.querySelector('progress').value") == 100
    lines = await page.locator("ol li").all_text_contents()
    assert lines
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("ways", ["websocket", "stream", "poll"])
async def test_the_page_works_on_every_way(context: BrowserContext, server: ServerProcess, ways: str) -> None:
    page = await context.new_page()
    if ways != "websocket":
        await page.route_web_socket(re.compile("/prog/"), refuse)
    if ways == "poll":
        # As behind a proxy that collects what is streamed.
        await page.add_init_script("EventSource = class { close() {} }")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.resource_type} {request.url}"))
    await page.goto(f"{server.url}/my-page?apart")
    await expect(page.locator("footer")).to_have_text("open", timeout=LONG)
    await run(page)
    streams = [each for each in asked if each.startswith("eventsource")]
    polls = [each for each in asked if "wait=" in each]
    assert (bool(streams), bool(polls)) == (ways == "stream", ways == "poll")


async def test_tabs_share_a_connection_and_survive_its_owner(context: BrowserContext, server: ServerProcess) -> None:
    first, second = await context.new_page(), await context.new_page()
    sockets: list[str] = []
    second.on("websocket", lambda socket: sockets.append(socket.url))
    for page in (first, second):
        await page.goto(f"{server.url}/my-page")
        await expect(page.locator("footer")).to_have_text("open", timeout=LONG)
    assert sockets == []
    await second.click("button >> nth=0")
    await expect(second.locator("output")).to_contain_text("running", timeout=LONG)
    await first.close()
    await until(lambda: sockets, within=5)
    await expect(second.locator("output")).to_contain_text("succeeded", timeout=LONG)
    assert len(sockets) == 1


async def test_the_stop_button_stops(context: BrowserContext, server: ServerProcess) -> None:
    page = await context.new_page()
    await page.goto(f"{server.url}/my-page?apart")
    await page.click("button >> nth=0")
    await expect(page.locator("output")).to_contain_text("running", timeout=LONG)
    await page.click("#stop")
    await expect(page.locator("output")).to_contain_text("cancelled", timeout=LONG)
