"""Rows for those who ask again and again, htmx among them: which template, from where on, and when it is over."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

import pytest
from django.core import signing
from django.http import HttpResponse
from django.urls import path

from progrock.delay import StoreAway
from progrock.fragments import FragmentsView, Rows, signed
from progrock.fragments.cursor import Cursor, batch, parse
from progrock.journal import MemoryJournal
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from tests.conftest import until
from tests.fragments.conftest import EVIL, at, listen, talk
from tests.fragments.test_stream import rows
from tests.http.conftest import Caller, refused

pytestmark = pytest.mark.usefixtures("engine")

HTMX = {"hx_request": "true", "hx_trigger": "rows-feed"}


def text(response: HttpResponse) -> list[str]:
    return response.content.decode().rstrip("\n").split("\n")


def following(response: HttpResponse) -> str:
    """Return where the next rows are."""
    (found,) = re.findall(r'<(?:/prog/)([^>]+)>; rel="next"', response.headers["Link"])
    return str(found)


async def spoken(caller: Caller, remote: Remote, count: int) -> str:
    """Return a job that has said some lines, and is over."""
    remote.say(*talk(count, at_once=count))
    job = await caller.start()
    await caller.complete(job)
    return job


async def test_polls_follow_each_other_to_the_end(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(30))
    job = await caller.start()
    where, got = at(job), []
    for _ in range(200):
        response = await caller.get(f"{where}&wait=5")
        if response.status_code != 204:
            got += [each for each in text(response) if each]
        if response.status_code == 286:
            assert "Link" not in response.headers
            break
        assert response.status_code in (200, 204)
        where = re.sub("&wait=5", "", following(response))
    assert got == rows(job, 1, 30)


async def test_nothing_new_is_no_content(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    for headers in ({}, HTMX):
        response = await caller.get(at(job), **headers)
        assert (response.status_code, response.content) == (204, b"")


async def test_htmx_gets_its_cursor_with_the_rows(caller: Caller, remote: Remote) -> None:
    job = await spoken(caller, remote, 2)
    response = await caller.get(at(job), **HTMX)
    assert response.status_code == 286
    assert response["HX-Reswap"] == "innerHTML"
    *shown, held = text(response)
    assert shown == rows(job, 1, 2)
    found = re.fullmatch(
        r'<input type="hidden" id="rows-feed-cursor" name="after" value="(\d+\.2)" hx-swap-oob="true">', held
    )
    assert found
    response = await caller.get(at(job, mode="replace", after=found[1]), **HTMX)
    # The last row stays where it is.
    assert (response.status_code, response["HX-Reswap"]) == (286, "none")
    assert "<li" not in response.content.decode()


@pytest.mark.parametrize("poller", ['"><script>', "", "1", "a" * 200, "ä"])
async def test_what_is_no_id_is_given_no_field(caller: Caller, remote: Remote, poller: str) -> None:
    job = await spoken(caller, remote, 1)
    response = await caller.get(at(job), hx_trigger=poller.encode().decode("latin-1"))
    assert text(response) == rows(job, 1, 1)


async def test_lines_are_escaped(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.SUCCEEDED, lines=[Line(EVIL, "info", {"a": EVIL})]))
    job = await caller.start()
    await caller.complete(job)
    for where in (at(job), at(job, "progrock/line.html"), f"jobs/{job}/fragments"):
        shown = (await caller.get(where)).content.decode()
        assert "&lt;script&gt;" in shown
        assert "<script" not in shown


async def test_nobody_chooses_a_template(caller: Caller, remote: Remote) -> None:
    job, other = await spoken(caller, remote, 1), str(uuid.uuid4())
    forged = signing.dumps(["rows/row.html", "append"], key="guessed", salt=f"progrock.fragments:{job}")
    elsewhere = signed(other, Rows("rows/row.html"))
    for show in (
        "rows/row.html",
        "../../settings.py",
        "",
        "%00",
        forged,
        elsewhere,
        signed(job, Rows())[:-1],
        "x" * 3_000,
    ):
        for ask in (caller.get, lambda path: listen(caller, path)):
            refused(await ask(f"jobs/{job}/fragments?show={show}"), 400, "invalid")
    with pytest.raises(ValueError, match="mode: expected one of append, newest, replace, got 'up'"):
        signed(job, Rows("rows/row.html", "up"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query", ["after=x", "after=1.", "after=-1", f"after={2**53}", "after=1.2.3", "wait=x", "wait=31"]
)
async def test_what_is_wrong_is_said(caller: Caller, query: str) -> None:
    assert "expected" in refused(await caller.get(f"jobs/{uuid.uuid4()}/fragments?{query}"), 400, "invalid")


async def test_a_line_that_cannot_be_shown_is_left_out(
    caller: Caller, remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    remote.say(Reading(State.SUCCEEDED, lines=[Line("a", "info", 1), Line("b", "info", "x"), Line("c", "info", 0.5)]))
    job = await caller.start()
    await caller.complete(job)
    response = await caller.get(at(job, "rows/picky.html"))
    assert response.content.decode().split() == ["1/1", "3/0.5"]
    assert "Line 2" in caplog.text


async def test_a_template_that_is_missing_is_our_trouble(
    caller: Caller, remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    job = await spoken(caller, remote, 1)
    for ask in (caller.get, lambda path: listen(caller, path)):
        refused(await ask(at(job, "rows/nowhere.html")), 503, "unavailable")
    assert "rows/nowhere.html" in caplog.text


async def test_a_journal_that_is_away_is_asked_again(
    caller: Caller, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await spoken(caller, remote, 2)

    async def away(*args: object) -> None:
        raise StoreAway("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryJournal, "read", away)
        response = await caller.get(at(job))
        assert (response.status_code, response.content) == (204, b"")
    assert text(await caller.get(following(response))) == rows(job, 1, 2)


class Own(FragmentsView):
    """A view of a project's own."""

    def context(self, job: str, line: Line) -> dict[str, Any]:
        return {**super().context(job, line), "id": "mine"}


urlpatterns = [
    path("prog/own/<uuid:job>/", Own.as_view(template_name="rows/row.html", mode="newest")),
    path("prog/plain/<str:job>/", FragmentsView.as_view()),
]


async def test_a_view_of_the_projects_own_says_how(caller: Caller, remote: Remote, settings: Any) -> None:
    job = await spoken(caller, remote, 2)
    settings.ROOT_URLCONF = __name__
    # What is signed for another view means nothing to it.
    response = await caller.get(f"own/{job}/?show=x&template_name=admin/base.html")
    assert text(response) == ['<li id="mine">2 line 2</li>', '<li id="mine">1 line 1</li>']
    assert response.status_code == 286
    assert f'<div id="{job}-1" class="info">line 1</div>' in (await caller.get(f"plain/{job}/")).content.decode()
    refused(await caller.get("plain/x/"), 404, "not_found")
    refused(await caller.post(f"plain/{job}/"), 405, "no_such_method")


def test_a_view_with_a_mode_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="mode: expected"):
        FragmentsView.as_view(mode="sideways")


async def test_a_poll_waits_for_the_next_row(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.RUNNING, 10))
    job = await caller.start()
    await until(lambda: remote.polls)
    waiting = asyncio.ensure_future(caller.get(at(job, wait=20)))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    remote.looks[f"r-{job}"] = [Reading(State.RUNNING, 60, lines=["at last"])]
    async with asyncio.timeout(15):  # it does not sit out the time that it may wait
        assert text(await waiting) == [f'<li id="{job}-1">1 at last</li>']


# The rules


def lines(first: int, last: int) -> list[Line]:
    return [Line(str(n), n=n, seq=100 + n) for n in range(first, last + 1)]


def test_a_line_that_is_said_again_is_no_new_row() -> None:
    assert batch(lines(3, 5), Cursor(50, 4), 60) == (lines(5, 5), False, Cursor(60, 5), False)
    assert batch(lines(3, 4), Cursor(50, 4), 60) == ([], False, Cursor(60, 4), False)


def test_a_journal_that_begins_anew_takes_the_place_of_the_old_one() -> None:
    assert batch(lines(1, 2), Cursor(50, 9), 60) == (lines(1, 2), True, Cursor(60, 2), False)
    assert batch([], Cursor(50, 9), 60, whole=True) == ([], False, Cursor(60, 9), False)
    assert batch([], Cursor(50, 9), 60, behind=True).cursor == Cursor(50, 9)


def test_a_cursor_is_read_as_it_is_written() -> None:
    assert parse(str(Cursor(1795219200123456, 17))) == (1795219200123456, 17)
    assert parse("17") == (17, 0)
