"""The same job, the same truth, by whatever way the browser is left: no seq twice or backwards, no line missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from playwright.async_api import Browser, BrowserContext, Page, Route, expect
from playwright.async_api import Error as PlaywrightError

from tests.conftest import until
from tests.e2e.conftest import both, on_the_loop_of_chromium
from tests.e2e.server import ServerProcess
from tests.e2e.wire import Wire

SCRIPT = """async () => {
const { ProgRock } = await import('/static/progrock/progrock.js');
const client = ProgRock.shared('/prog/', { who: 'me' });
const seen = { snapshots: {}, lines: {}, wrong: [], resets: 0, states: [] };
client.addEventListener('snapshot', ({ detail: { job, seq, state, complete, lines } }) => {
  const before = (seen.snapshots[job] ??= []).at(-1);
  if (before && seq <= before.seq) seen.wrong.push(`${seq} after ${before.seq}`);
  if (before?.complete) seen.wrong.push(`${state} after ${before.state}`);
  seen.snapshots[job].push({ seq, state, complete, lines });
});
client.addEventListener('lines', ({ detail: { job, lines, reset } }) => {
  const mine = (seen.lines[job] = reset ? {} : seen.lines[job] ?? {});
  if (reset) seen.resets += 1;
  for (const { n, text } of lines) {
    if (n in mine) seen.wrong.push(`line ${n} twice`);
    if (n > 1 && !(n - 1 in mine)) seen.wrong.push(`line ${n} without ${n - 1}`);
    mine[n] = text;
  }
});
client.addEventListener('state', ({ detail: { state } }) => seen.states.push(state));
Object.assign(window, { client, seen });
}"""

T = TypeVar("T")


class Tab:
    """A page of somebody else's that uses the client, and notes all that it tells."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.ways: list[str] = []
        page.on("websocket", lambda _: self.ways.append("websocket"))
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if "/prog/updates" in request.url:
            self.ways.append("stream" if request.headers.get("accept") == "text/event-stream" else "poll")

    async def open(self) -> Tab:
        """Visit the site, as everybody has who has a session, and then a page of it that has nothing of ours."""
        await self.page.goto(self.url)
        await self.page.goto(f"{self.url}/static/rock/icon.svg")
        # What the site itself connected by is over.
        self.ways.clear()
        await self.page.evaluate(SCRIPT)
        return self

    async def start(self, length: float, **params: Any) -> str:
        """Start a track and follow it; return its job."""
        wish = {"params": {"length": length, "mode": "clock", "seed": 6, **params}}
        started = await self.page.evaluate("wish => client.start(wish)", wish)
        return str(started["job"])

    async def watch(self, job: str) -> None:
        """Follow a job."""
        await self.page.evaluate("job => { client.watch(job); }", job)

    async def snapshots(self, job: str) -> list[dict[str, Any]]:
        """Return what it has been told."""
        return list(await self.page.evaluate("job => seen.snapshots[job] ?? []", job))

    async def moving(self, job: str, more: int = 3) -> None:
        """Wait until it is told so much more, or that it is over."""
        before = len(await self.snapshots(job))

        async def moved() -> bool:
            told = await self.snapshots(job)
            return len(told) >= before + more or bool(told and told[-1]["complete"])

        await until(moved)

    async def ended_there(self, job: str) -> None:
        """Wait for the end as the server has it."""

        async def ended() -> bool:
            return bool((await self.theirs(job))["complete"])

        await until(ended)

    async def theirs(self, job: str) -> dict[str, Any]:
        """Return how the server says that it stands."""
        answer = await self.page.request.get(f"{self.url}/prog/jobs/{job}/", headers={"Accept": "application/json"})
        return dict(await answer.json())

    async def over(self, job: str) -> dict[str, Any]:
        """Wait for the end and return it, having seen that it is the server's, and the journal whole."""

        async def ended() -> bool:
            return bool(await self.page.evaluate("job => seen.snapshots[job]?.at(-1)?.complete", job))

        await until(ended)
        end = (await self.snapshots(job))[-1]

        async def whole() -> bool:
            lines = await self.page.evaluate("job => Object.keys(seen.lines[job] ?? {}).length", job)
            return bool(lines == end["lines"])

        await until(whole)
        assert end["lines"] > 0
        theirs = await self.theirs(job)
        assert (end["seq"], end["state"], end["lines"]) == (theirs["seq"], theirs["state"], theirs["lines"])
        assert await self.page.evaluate("seen.wrong") == []
        return end


@on_the_loop_of_chromium
async def wire(server: ServerProcess) -> AsyncIterator[Wire]:
    async with Wire(server.port) as wire:
        yield wire


async def no_websocket(page: Page) -> None:
    """A proxy that eats websockets."""
    await page.route_web_socket("**/prog/", lambda socket: socket.close(code=1011))


async def no_stream(page: Page) -> None:
    """A proxy that keeps an answer back until it is whole, which a stream never is."""

    async def eat(route: Route) -> None:
        if route.request.headers.get("accept") == "text/event-stream":
            await route.abort()
        else:
            await route.fallback()

    await page.route("**/prog/updates*", eat)


WAYS = ("websocket", "stream", "poll")


async def tab(context: BrowserContext, url: str, way: str = "websocket") -> Tab:
    page = await context.new_page()
    if way != "websocket":
        await no_websocket(page)
    if way == "poll":
        await no_stream(page)
    return await Tab(page, url).open()


@on_the_loop_of_chromium
async def people(browser: Browser) -> Callable[[str], Awaitable[list[Tab]]]:
    """Return a maker of three people's tabs, one for each way that may be left."""
    contexts = [await browser.new_context() for _ in WAYS]

    async def make(url: str) -> list[Tab]:
        return list(await asyncio.gather(*(tab(each, url, way) for each, way in zip(contexts, WAYS, strict=True))))

    return make


People = Callable[[str], Awaitable[list[Tab]]]


async def all_of(calls: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*calls))


@both
async def test_a_job_is_followed_to_its_end_by_whatever_way_is_left(server: ServerProcess, people: People) -> None:
    tabs = await people(server.url)
    jobs = await all_of(each.start(5) for each in tabs)
    for way, each, job in zip(WAYS, tabs, jobs, strict=True):
        assert (await each.over(job))["state"] == "succeeded"
        assert way in each.ways
        assert ("stream" in each.ways) == (way != "websocket")
        assert len(await each.snapshots(job)) > 3


async def test_a_cut_in_the_middle_leaves_no_gap(server: ServerProcess, wire: Wire, people: People) -> None:
    tabs = await people(wire.url)
    jobs = await all_of(each.start(20) for each in tabs)
    await all_of(map(Tab.moving, tabs, jobs))
    wire.cut()
    await asyncio.sleep(2)
    wire.mend()
    await all_of(map(Tab.moving, tabs, jobs))
    wire.hush()  # and now it only seems to be there
    await asyncio.sleep(1)
    wire.cut()
    wire.mend()
    await all_of(map(Tab.over, tabs, jobs))


async def test_a_server_that_dies_and_comes_back_leaves_no_gap(apart: ServerProcess, people: People) -> None:
    tabs = await people(apart.url)
    jobs = await all_of(each.start(12) for each in tabs)
    await all_of(map(Tab.moving, tabs, jobs))
    apart.kill()
    apart.start()
    await all_of(map(Tab.over, tabs, jobs))


async def test_a_laptop_whose_lid_was_shut_finds_all_that_was_said(server: ServerProcess, people: People) -> None:
    tabs = await people(server.url)
    jobs = await all_of(each.start(6) for each in tabs)
    await all_of(map(Tab.moving, tabs, jobs))
    sessions = await all_of(each.page.context.new_cdp_session(each.page) for each in tabs)
    for session in sessions:
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    for each, job in zip(tabs, jobs, strict=True):
        await each.ended_there(job)
    for session in sessions:
        await session.send("Page.setWebLifecycleState", {"state": "active"})
    await all_of(map(Tab.over, tabs, jobs))


async def test_who_comes_late_and_who_comes_after_the_end_are_told_all(
    server: ServerProcess, context: BrowserContext
) -> None:
    mine = await tab(context, server.url)
    job = await mine.start(6)
    await mine.moving(job)
    late = await tab(context, server.url, "stream")
    await late.watch(job)
    await asyncio.gather(mine.over(job), late.over(job))
    for way in ("websocket", "stream", "poll"):
        after = await tab(context, server.url, way)
        await after.watch(job)
        await after.over(job)
        assert len(await after.snapshots(job)) == 1


async def test_two_tabs_see_the_same_over_one_connection(server: ServerProcess, context: BrowserContext) -> None:
    one = await tab(context, server.url)
    job = await one.start(12)
    await one.moving(job)
    two = await tab(context, server.url)
    await two.watch(job)
    await two.moving(job)
    assert "websocket" not in two.ways
    # Who has the connection goes; the other goes on.
    await one.page.close()
    await two.moving(job)
    await two.over(job)
    assert "websocket" in two.ways


async def test_two_users_see_nothing_of_each_other(server: ServerProcess, browser: Browser) -> None:
    mine, theirs = await browser.new_context(), await browser.new_context()
    one, two = await tab(mine, server.url), await tab(theirs, server.url)
    job = await one.start(5)
    refusal = await two.page.evaluate("job => client.watch(job).catch(error => error.code)", job)
    assert refusal == "not_found"
    await two.page.evaluate("client.list()")
    await one.over(job)
    assert await two.page.evaluate("seen.snapshots") == {}
    for path in ("", "stream", "result", "file"):
        answer = await two.page.request.get(f"{server.url}/prog/jobs/{job}/{path}")
        assert answer.status == 404
    await mine.close()
    await theirs.close()


@both
async def test_without_javascript_a_job_is_started_and_seen_to_its_end(server: ServerProcess, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(server.url)
    length = page.locator("input[name=length]")
    if not await length.is_visible():
        await page.locator("summary").click()
    await length.fill("14")
    await page.locator("#rock-out").click()
    await expect(page).to_have_url(f"{server.url}/prog/jobs/" + page.url.split("/jobs/")[1])
    seen: list[float] = []

    async def done() -> bool:
        with suppress(PlaywrightError):  # the page is loaded again at any time, and the last one has no bar
            if value := await page.locator("progress").get_attribute("value", timeout=1_000):
                seen.append(float(value))
        with suppress(PlaywrightError):
            return await page.get_by_text("Done").count() > 0
        return False

    await until(done)
    assert seen == sorted(seen)
    assert len(seen) >= 1
    await expect(page.get_by_text("Done").first).to_be_visible()
    await expect(page.get_by_text("On tape").first).to_be_visible()
    cookies = {each["name"]: each["value"] for each in await context.cookies()}
    assert "sessionid" in cookies
