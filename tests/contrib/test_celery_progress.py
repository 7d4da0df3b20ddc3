"""The page of celery-progress' users, with its own scripts, in a real browser, on jobs."""

from __future__ import annotations

import asyncio
import urllib.error
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from progrock.contrib.celery_progress.progress import told
from progrock.inbox import End, Report, Said
from progrock.protocol import Failure, Snapshot, State
from tests.contrib.conftest import Site, Visitor
from tests.e2e.conftest import LONG

BAR, WORDS, RESULT = "#progress-bar", "#progress-bar-message", "#celery-result"
FULL = {"pending": False, "current": 100, "total": 100, "percent": 100}


async def test_its_scripts_show_tasks_from_waiting_to_their_results(site: Site, browser: Browser) -> None:
    visitor = await asyncio.to_thread(Visitor, site)
    page = await page_of(browser, visitor)
    await shown(site, visitor, page, "")
    await shown(site, visitor, page, "?socket")


async def shown(site: Site, visitor: Visitor, page: Page, way: str) -> None:
    """See that a page shows what becomes of tasks, polling or by a websocket."""

    async def queue(name: str, **arguments: Any) -> str:
        return await asyncio.to_thread(visitor.queue, name, **arguments)

    task = await queue("count", gate="second", seconds=2)
    await page.goto(f"{site.url}/shown/{task}{way}")
    await expect(page.locator(WORDS)).to_have_text("1 of 2 processed. Second 1")
    assert await page.locator(BAR).evaluate("element => element.style.width") == "50%"
    site.rooms.let("second")
    await expect(page.locator(WORDS)).to_have_text("2 of 2 processed. Second 2")
    site.rooms.let("second")
    await expect(page.locator(WORDS)).to_have_text("Success! ")
    assert await page.locator(BAR).evaluate("element => element.style.backgroundColor") == "rgb(118, 206, 96)"
    if not way:
        await expect(page.locator(RESULT)).to_have_text('{"sum":1}')
    await page.goto(f"{site.url}/shown/{await queue('again', seconds=4, gate='again')}{way}")
    await expect(page.locator(WORDS)).to_have_text("Retrying after 4s: OSError: The needle is away.")
    await expect(page.locator(WORDS)).to_have_text("Task started...", timeout=LONG)
    site.rooms.let("again")
    await expect(page.locator(WORDS)).to_have_text("Success! ")
    await page.goto(f"{site.url}/shown/{await queue('scratch')}{way}")
    # The script says nothing of a failure where the page shows results.
    await expect(page.locator(WORDS)).to_have_text("Uh-Oh, something went wrong! ")
    assert "ValueError: The record is scratched." in await page.locator(RESULT).inner_text()
    # Of somebody else's task, no more than that there is none.
    theirs = await asyncio.to_thread(Visitor(site).queue, "scratch")
    await page.goto(f"{site.url}/shown/{theirs}{way}")
    wrong = "Data Error" if way else "HTTP Code 404"
    await expect(page.locator(WORDS)).to_have_text(f"Uh-Oh, something went wrong! {wrong}")


async def page_of(browser: Browser, visitor: Visitor) -> Page:
    """Return a page of the visitor's browser."""
    context = await browser.new_context()
    cookies: list[Any] = [
        {"name": each.name, "value": each.value, "url": visitor.site.url} for each in visitor.jar if each.value
    ]
    await context.add_cookies(cookies)
    return await context.new_page()


def snapshot(state: State, **more: Any) -> Snapshot:
    return Snapshot("a", "track", "A", state, 0, **more)


@pytest.mark.parametrize(
    ("stands", "said", "expected"),
    [
        (
            snapshot(State.RUNNING, message="Waiting for its turn."),
            Said(waiting=True),
            ("PENDING", False, None, {"pending": True, "current": 0, "total": 100, "percent": 0}),
        ),
        (snapshot(State.RUNNING), Said(), ("STARTED", False, None, {**FULL, "current": 0, "percent": 0})),
        (
            snapshot(State.RUNNING, percent=33.3333),
            Said(Report(percent=33.3333, message="On it")),
            ("PROGRESS", False, None, {**FULL, "current": 33.33, "percent": 33.33, "description": "On it"}),
        ),
        (
            snapshot(State.CANCELLING),
            Said(Report(done=1, total=3)),
            ("PROGRESS", False, None, {**FULL, "current": 1, "total": 3, "percent": 33.33, "description": ""}),
        ),
        (
            snapshot(State.RUNNING),
            Said(Report(done=2, total=0, message="On it")),
            ("PROGRESS", False, None, {**FULL, "current": 2, "total": 0, "percent": 0, "description": "On it"}),
        ),
        (snapshot(State.SUCCEEDED, result=[1]), Said(), ("SUCCESS", True, True, FULL, [1])),
        (snapshot(State.FAILED, error=Failure("remote", "No")), Said(), ("FAILURE", True, False, FULL, "No")),
        (snapshot(State.CANCELLED, message="Cancelled."), Said(), ("REVOKED", True, False, FULL, "Cancelled.")),
        (
            snapshot(State.CANCELLED, message="Cancelled before it began."),
            Said(end=End(State.CANCELLED, "It was left alone.")),
            ("IGNORED", True, None, FULL, "It was left alone."),
        ),
        (
            snapshot(State.RUNNING),
            Said(Report(message="It is tried again in 3 s: OSError: Away"), waiting=True),
            ("RETRY", True, False, FULL, {"next_retry_seconds": 3, "message": "OSError: Away"}),
        ),
    ],
)
def test_every_state_has_the_json_of_celery_progress(stands: Snapshot, said: Said, expected: tuple[Any, ...]) -> None:
    keys = ("state", "complete", "success", "progress", "result")
    assert told(stands, said) == dict(zip(keys, expected, strict=False))


def test_a_group_is_the_sum_of_its_tasks_if_all_are_the_callers(site: Site, visitor: Visitor) -> None:
    group = visitor.queue("together", sizes=[1, 2])
    path = f"celery-progress/g/{group}/"
    progress = {"total": 200, "current": 200, "percent": 100.0}
    visitor.until_told(path, {"complete": True, "success": True, "progress": progress})
    for who, where in ((Visitor(site), path), (visitor, "celery-progress/g/another/")):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            who.get(where)
