"""The page in a real browser: what a person clicks, sees, hears and finds again."""

from __future__ import annotations

import io
import json
import uuid
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.e2e.conftest import LONG, both, on_the_loop_of_chromium
from tests.e2e.server import ServerProcess
from tests.redis import RedisServer
from tests.synth.process import SynthProcess
from tests.until import PATIENCE, until


class Rock:
    """The page, as a person uses it. Every complaint of the browser's is a failure."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._complain)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.button = page.locator("#rock-out")
        self.tracks = page.locator("#tracks > li")

    def _complain(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    async def open(self, server: ServerProcess) -> Rock:
        await self.page.goto(server.url)
        await self.connected()
        return self

    async def connected(self) -> None:
        await expect(self.page.locator("#connection")).to_have_attribute("data-state", "open", timeout=LONG)

    async def wish(self, length: float) -> None:
        details = self.page.locator("#notes details")
        if await details.get_attribute("open") is None:
            await details.locator("summary").click()
        await self.page.fill("#length", str(length))
        await details.locator("summary").click()

    async def rock(self, length: float) -> Locator:
        """Ask for so many seconds, press the button, and return the new track."""
        await self.wish(length)
        before = await self.tracks.count()
        await self.button.click()
        await expect(self.tracks).to_have_count(before + 1)
        job = await self.tracks.first.get_attribute("data-job")
        return self.page.locator(f'#tracks > li[data-job="{job}"]')

    async def state(self, track: Locator, state: str, within: float = PATIENCE) -> None:
        await expect(track).to_have_attribute("data-state", state, timeout=within * 1000)


async def new_page(context: BrowserContext, server: ServerProcess) -> Rock:
    return await Rock(await context.new_page()).open(server)


@on_the_loop_of_chromium
async def rock(context: BrowserContext, server: ServerProcess) -> AsyncIterator[Rock]:
    rock = await new_page(context, server)
    yield rock
    assert rock.complaints == []


async def progress_of(track: Locator) -> int:
    return int(await track.locator("[role=progressbar]").get_attribute("aria-valuenow") or 0)


@both
async def test_a_track_is_recorded_while_you_watch_and_can_be_played(rock: Rock) -> None:
    track = await rock.rock(6)
    seen: list[int] = []

    async def done() -> bool:
        seen.append(await progress_of(track))
        return await track.get_attribute("data-state") == "succeeded"

    await until(done)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 5
    assert await progress_of(track) == 100
    audio = track.locator("audio")
    await expect(audio).to_be_visible()
    source = await audio.evaluate("audio => audio.src")
    response = await rock.page.request.get(source)
    assert response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(await response.body())) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(6, abs=0.01)
        assert any(file.readframes(file.getnframes()))
    part = await rock.page.request.get(source, headers={"Range": "bytes=0-3"})
    assert (part.status, await part.body()) == (206, b"RIFF")
    await expect(track).to_contain_text("bpm")
    await audio.evaluate("audio => { audio.muted = true; return audio.play(); }")
    assert await audio.evaluate("audio => audio.duration") == pytest.approx(6, abs=0.1)


@both
async def test_a_track_can_be_cancelled_midway(rock: Rock) -> None:
    track = await rock.rock(30)

    async def moving() -> bool:
        return await progress_of(track) > 0

    await until(moving, within=10)
    await track.get_by_role("button", name="Cancel").click()
    await rock.state(track, "cancelled")
    await expect(track.get_by_role("button", name="Cancel")).to_have_count(0)
    assert await progress_of(track) < 100


@both
async def test_a_reload_and_a_second_tab_find_it_running(
    rock: Rock, context: BrowserContext, server: ServerProcess
) -> None:
    track = await rock.rock(15)
    job = await track.get_attribute("data-job")

    async def moving() -> bool:
        return await progress_of(track) > 3

    await until(moving, within=10)
    before = await progress_of(track)
    await rock.page.reload()
    await rock.connected()
    await rock.state(track, "running")
    assert await progress_of(track) >= before
    second = await new_page(context, server)
    other = second.page.locator(f'#tracks > li[data-job="{job}"]')
    await second.state(other, "running")
    await rock.state(track, "succeeded")
    await second.state(other, "succeeded")
    assert second.complaints == []


@both
async def test_a_second_tab_hears_of_a_new_track_by_itself(
    rock: Rock, context: BrowserContext, server: ServerProcess
) -> None:
    second = await new_page(context, server)
    await rock.rock(2)
    await expect(second.tracks).to_have_count(1)
    await second.state(second.tracks.first, "succeeded")


async def test_a_double_click_starts_one_job(rock: Rock) -> None:
    await rock.wish(2)
    await rock.button.dblclick()
    await rock.state(rock.tracks.first, "succeeded")
    await expect(rock.tracks).to_have_count(1)


async def test_somebody_else_sees_nothing_of_it(rock: Rock, browser: Browser, server: ServerProcess) -> None:
    track = await rock.rock(2)
    await rock.state(track, "succeeded")
    source = await track.locator("audio").evaluate("audio => audio.src")
    stranger = await browser.new_context()
    theirs = await new_page(stranger, server)
    await expect(theirs.tracks).to_have_count(0)
    assert (await theirs.page.request.get(source)).status == 404
    await stranger.close()


async def test_it_works_by_keyboard_alone(rock: Rock) -> None:
    await rock.wish(20)
    await rock.button.focus()
    await rock.page.keyboard.press("Enter")
    await rock.state(rock.tracks.first, "running")
    await rock.tracks.first.get_by_role("button", name="Cancel").focus()
    await rock.page.keyboard.press("Space")
    await rock.state(rock.tracks.first, "cancelled")


@pytest.mark.parametrize("apart", [False, True], ids=["embedded", "apart"])
async def test_a_job_goes_on_while_nobody_looks_and_a_restart_is_seen_and_survived(
    browser: Browser, synth: SynthProcess, redis: RedisServer, folder: Path, apart: bool
) -> None:
    with ServerProcess(synth.url, folder, redis=redis.url if apart else "") as server:
        context = await browser.new_context()
        rock = await new_page(context, server)
        track = await rock.rock(8)
        await rock.state(track, "running")
        server.kill()
        await expect(rock.page.locator("#connection")).not_to_have_attribute("data-state", "open")
        await expect(track).to_contain_text("Connection lost")
        server.start()
        await rock.connected()
        # Whoever was killed in the middle of a step held its entry for 15 s.
        await rock.state(track, "succeeded")
        await context.close()


@both
async def test_a_job_that_fails_says_why(rock: Rock, untroubled: SynthProcess) -> None:
    track = await rock.rock(30)
    await rock.state(track, "running")
    untroubled.trouble({"kind": "forget", "ids": "all"})
    await rock.state(track, "failed")
    await expect(track).to_contain_text("does not know this track any more")


@both
async def test_a_job_that_failed_is_tried_again_in_its_place(rock: Rock, untroubled: SynthProcess) -> None:
    track = rock.tracks.first
    failed = await (await rock.rock(8)).get_attribute("data-job")
    await rock.state(track, "running")
    untroubled.trouble({"kind": "forget", "ids": "all"})
    await rock.state(track, "failed")
    await expect(track).not_to_contain_text("attempt")
    untroubled.call("DELETE", "/v1/trouble")
    await track.get_by_role("button", name="Retry").click()
    await expect(track).to_contain_text("attempt 2")
    assert await track.get_attribute("data-job") != failed
    await rock.state(track, "succeeded")
    await rock.page.reload()
    await rock.state(track, "succeeded")
    await expect(track).to_contain_text("attempt 2")
    await expect(rock.tracks).to_have_count(1)
    await expect(track.get_by_role("button", name="Retry")).to_have_count(0)


async def test_a_retry_by_keyboard_comes_to_a_second_tab_too(
    rock: Rock, context: BrowserContext, server: ServerProcess
) -> None:
    await rock.rock(20)
    second = await new_page(context, server)
    track = rock.tracks.first
    await rock.state(track, "running")
    await track.get_by_role("button", name="Cancel").focus()
    await rock.page.keyboard.press("Space")
    await rock.state(track, "cancelled")
    await second.state(second.tracks.first, "cancelled")
    await rock.page.keyboard.press("Tab")
    await expect(track.get_by_role("button", name="Retry")).to_be_focused()
    cancelled = await track.get_attribute("data-job")

    async def retried() -> bool:
        await rock.page.keyboard.press("Enter")
        return await track.get_attribute("data-job") != cancelled

    await until(retried, within=10)
    for page in (rock, second):
        await page.state(page.tracks.first, "running")
        await expect(page.tracks.first).to_contain_text("attempt 2")
        await expect(page.tracks).to_have_count(1)


async def test_a_click_meant_for_retry_does_not_cancel(rock: Rock) -> None:
    track = rock.tracks.first
    await rock.rock(8)
    await rock.state(track, "running")
    await track.get_by_role("button", name="Cancel").click()
    await rock.state(track, "cancelled")
    await expect(track.get_by_role("button", name="Retry")).to_be_visible()
    await track.locator("prog-rock").evaluate(CLICK_TWICE)
    await rock.state(track, "succeeded")


@both
async def test_a_remote_in_trouble_is_shown_while_it_lasts(rock: Rock, untroubled: SynthProcess) -> None:
    track = await rock.rock(8)
    await rock.state(track, "running")
    untroubled.trouble({"kind": "status", "status": 503, "on": ["status"]})
    await expect(track).to_contain_text("asking again", timeout=LONG)
    untroubled.call("DELETE", "/v1/trouble")
    await rock.state(track, "succeeded")


@pytest.mark.parametrize("server", ["apart"], indirect=True)
async def test_a_delay_of_our_own_is_not_blamed_on_the_remote(rock: Rock, server: ServerProcess) -> None:
    track = await rock.rock(8)
    await rock.state(track, "running")
    await expect(track).to_contain_text("bpm")  # answered: before that, nobody knows when it was to be looked at
    worker, _ = server.beside
    worker.kill()
    try:
        # Only a second answer of the server's, after 12 s of silence each, may tell the page that nobody has looked.
        await expect(track).to_contain_text("The delay is on our side", timeout=LONG)
        await expect(track).not_to_contain_text("asking again")
    finally:
        worker.spawn()
    await rock.state(track, "succeeded")


async def test_markup_from_the_remote_stays_text(rock: Rock, untroubled: SynthProcess) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    render = {"id": "x", "title": evil, "meter": evil, "tempo": evil, "state": "running", "message": evil}
    untroubled.trouble({"kind": "garbage", "on": ["start"], "body": json.dumps(render)})
    await rock.button.click()
    await expect(rock.tracks.first).to_contain_text("<script>")
    await rock.state(rock.tracks.first, "failed")
    assert await rock.page.locator("#tracks img, #tracks script").count() == 0


async def test_the_page_is_strict_about_what_runs_in_it(rock: Rock, server: ServerProcess) -> None:
    response = await rock.page.request.get(server.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_the_page_of_2017_works_unchanged(browser: Browser, server: ServerProcess) -> None:
    """The markup of 2017 and a script that behaves as its did: one socket, bare starts, progress and complete."""
    # That script was inline, as scripts were then.
    context = await browser.new_context(bypass_csp=True)
    page = await context.new_page()
    await page.goto(f"{server.url}/prog/jobs/{uuid.uuid4()}/file")  # any answer of this site's, to be its page
    async with page.expect_websocket() as opening:
        await page.set_content(PAGE_OF_2017)
    # As a person would, click only when the page has settled: that script does not wait for its socket.
    await (await opening.value).wait_for_event("framereceived")
    await page.click("#go-button")
    value = page.locator("#prog-val")
    seen: list[str] = []

    async def complete() -> bool:
        seen.append(await value.inner_text())
        return "complete" in (await value.get_attribute("class") or "")

    await until(complete)
    numbers = [int(text.rstrip("%")) for text in seen]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) >= 5
    assert await value.inner_text() == "100%"


CLICK_TWICE = """
async (element) => {
  const button = element.shadowRoot.querySelector('button');
  const end = performance.now() + 5000;
  while (button.part.contains('retry') && performance.now() < end) {
    button.click();
    await new Promise(requestAnimationFrame);
  }
  if (!button.part.contains('cancel')) throw new Error('It was not tried again.');
  button.click();
}
"""


PAGE_OF_2017 = """
<!doctype html>
<button id="go-button">Rock Out</button>
<div>Progress <span id="prog-val">0%</span></div>
<script>
  var scheme = location.protocol == 'https:' ? 'wss' : 'ws';
  var socket = new WebSocket(scheme + '://' + location.host + '/prog/');
  socket.onmessage = function (event) {
    var output = document.getElementById('prog-val');
    var state = JSON.parse(event.data);
    if (state.progress) { output.innerHTML = state.progress + '%'; }
    if (state.complete) { output.classList.add('complete'); }
  };
  document.getElementById('go-button').onclick = function () {
    socket.send(JSON.stringify({action: 'start'}));
  };
</script>
"""
