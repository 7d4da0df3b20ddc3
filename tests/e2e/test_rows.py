"""Rows in a real browser: with htmx of both kinds and without, and in pages that were made for pluto-rt."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
from playwright.async_api import BrowserContext, Page, Response, Route, expect

from tests.e2e.conftest import LONG, on_the_loop_of_chromium
from tests.e2e.server import ServerProcess
from tests.proxy import Proxy
from tests.synth.process import SynthProcess
from tests.until import until

WAYS = ["stream-2", "stream-1-table", "stream-2-newest", "poll-2-table", "poll-1-table", "poll-2", "plain"]


@pytest.fixture(scope="module")
def server(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    more = {"DJANGO_SETTINGS_MODULE": "tests.e2e.rows"}
    with ServerProcess(synth.url, tmp_path_factory.mktemp("rows"), more=more) as server:
        yield server


@on_the_loop_of_chromium
async def proxy(server: ServerProcess) -> AsyncIterator[Proxy]:
    """A network that cuts connections when it is told to."""
    async with Proxy(server.port) as proxy:
        yield proxy


def at(proxy: Proxy, path: str) -> str:
    return proxy.url.replace("redis://", "http://").removesuffix("/0") + path


def said(last: int) -> list[str]:
    return [f"line {n} <{n}>.csv" for n in range(1, last + 1)]


async def shown(page: Page, texts: list[str]) -> None:
    """See that the rows of a page are these, each once."""
    rows = page.locator("ol > li, tbody > tr")
    await expect(rows).to_have_text(
        [re.compile(re.escape(text).replace(r"\ <", r"\s*<")) for text in texts], timeout=15_000
    )
    ids = await rows.evaluate_all("all => all.map(each => each.id)")
    assert len(set(ids)) == len(ids) == len(texts)


async def test_each_row_is_shown_once_on_every_way_whatever_is_cut(
    context: BrowserContext, server: ServerProcess, proxy: Proxy
) -> None:
    pages: dict[str, Page] = {}
    job = ""

    async def say(first: int, last: int, end: str = "") -> None:
        # By another way than the pages': nothing of it is cut.
        asked = await context.request.get(f"{server.url}/say?job={job}&first={first}&last={last}{end}")
        assert asked.ok

    for way in WAYS:
        pages[way] = await context.new_page()
        await pages[way].goto(at(proxy, f"/page?way={way}" + (f"&job={job}" if job else "")))
        if not job:
            job = await pages[way].title()
            await say(1, 3)
    for way, page in pages.items():
        await shown(page, said(3)[::-1] if way.endswith("newest") else said(3))
    # A stream of htmx' that somebody else has answered for the server is made anew, without a cursor.
    refused: list[str] = []

    async def refuse(route: Route) -> None:
        if refused:
            await route.continue_()
        else:
            refused.append(route.request.url)
            await route.fulfill(status=502)

    await pages["stream-2"].route(re.compile("/fragments"), refuse)
    proxy.lose = 5
    await say(4, 6)
    await until(lambda: proxy.lose == 0)
    await say(7, 7)
    for way, page in pages.items():
        await shown(page, said(7)[::-1] if way.endswith("newest") else said(7))
    assert refused
    # Who comes late has it all; and when it is over, nobody asks any more.
    late = await context.new_page()
    await late.goto(at(proxy, f"/page?way=stream-2&job={job}"))
    await say(8, 8, "&end=1")
    for way, page in {**pages, "late": late}.items():
        await shown(page, said(8)[::-1] if way.endswith("newest") else said(8))
    for page in (pages["stream-2"], pages["stream-1-table"], late):
        await expect(page.locator("[sse-connect]")).to_have_count(0, timeout=LONG)
    await late.reload()
    await shown(late, said(8))
    assert await late.locator("[sse-connect]").count() == 0


def note(statuses: list[int], response: Response) -> None:
    if "/polling/" in response.url:
        statuses.append(response.status)


async def test_pages_of_pluto_rt_work(context: BrowserContext, server: ServerProcess, proxy: Proxy) -> None:
    items = [f"<{n}>" for n in range(1, 6)]
    expected = {"normal": items, "reverse": items[::-1], "replace": items[-1:]}
    pages: list[tuple[str, str, Page, list[int]]] = []
    for of, by, mode in (
        ("theirs", "sse", "normal"),
        ("theirs", "polling", "normal"),
        ("theirs", "polling", "replace"),
        ("ours", "sse", "reverse"),
        ("ours", "polling", "normal"),
        ("ours", "polling", "replace"),
    ):
        page = await context.new_page()
        statuses: list[int] = []
        page.on("response", partial(note, statuses))
        await page.goto(at(proxy, f"/queue?of={of}&by={by}&mode={mode}"))
        # One after the other: a visitor without a session gets theirs with the first answer.
        await expect(page.locator("#results li").first).to_be_visible(timeout=15_000)
        proxy.lose += by == "sse"
        pages.append((by, mode, page, statuses))
    for by, mode, page, statuses in pages:
        await expect(page.locator("#results li")).to_have_text(expected[mode], timeout=LONG)
        assert await page.locator("#results li.info").count() == len(expected[mode])
        if by == "sse":
            await expect(page.locator("[sse-connect]")).to_have_count(0, timeout=LONG)
        else:
            await until(partial(statuses.count, 286))
            assert set(statuses) <= {200, 204, 286}


async def test_a_queue_is_that_of_whose_page_shows_it(context: BrowserContext, server: ServerProcess) -> None:
    page = await context.new_page()
    async with page.expect_request(re.compile("/rt_messages/")) as asked:
        await page.goto(f"{server.url}/queue?of=theirs&by=polling&count=2")
    url = (await asked.value).url
    await expect(page.locator("#results li")).to_have_count(2, timeout=LONG)
    assert context.browser
    stranger = await context.browser.new_context()
    path = url.partition("?")[0] + "?index=0"

    async def is_over() -> bool:
        return (await context.request.get(path)).status == 286

    await until(is_over)
    for who, status in ((stranger, 404), (context, 286)):
        assert (await who.request.get(path)).status == status
    assert (await stranger.request.get(re.sub(r"polling/[^/]+", "polling/listqueue_1", url))).status == 404
    await stranger.close()
