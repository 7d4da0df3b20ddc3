"""The tag that puts rows into a page: what stands there before any script runs, and where the rest comes from."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.template import RequestContext, Template
from django.test import RequestFactory

from progrock import jobs
from progrock.access import owner_of_request
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from tests.fragments.conftest import EVIL, listen, told
from tests.fragments.test_stream import rows
from tests.http.conftest import Caller

pytestmark = pytest.mark.usefixtures("engine")


async def request_of(caller: Caller) -> HttpRequest:
    """Return a request of somebody's."""
    request = RequestFactory().get("/")
    request.session, request.user = await caller.http.asession(), AnonymousUser()
    request.auser = sync_to_async(AnonymousUser)
    return request


async def render(request: HttpRequest, tag: str, **context: Any) -> str:
    template = Template("{% load progrock_fragments %}{% " + tag + " %}")
    return str(await sync_to_async(template.render)(RequestContext(request, context)))


def one(pattern: str, page: str) -> str:
    (found,) = re.findall(pattern, page)
    return unescape(found)


async def going_on(caller: Caller, remote: Remote, *said: Line) -> str:
    remote.say(Reading(State.RUNNING, 5, lines=list(said)))
    job = await caller.start()
    after = 0
    for _ in range(100):
        snapshot = (await caller.get(f"jobs/{job}/?wait=5&after={after}")).json()  # type: ignore[attr-defined]
        if snapshot["lines"] == len(said):
            return job
        after = snapshot["seq"]
    raise AssertionError("nothing was said")


async def test_rows_are_there_before_any_script_runs_and_the_others_come(caller: Caller, remote: Remote) -> None:
    job = await going_on(caller, remote, *(Line(f"line {n}") for n in (1, 2)))
    request = await request_of(caller)
    page = await render(request, 'fragments job "rows/row.html" element="ul"', job=job)
    name, shown = re.findall(r'<ul id="([^"]+)">(.*?)</ul>', page, re.DOTALL)[0]
    assert shown.split("\n")[:2] == rows(job, 1, 2)
    assert set(re.findall(r'hx-target="#([^"]+)"', page)) == {name, f"{name}-feed"}
    where = one(r'sse-connect="([^"]+)"', page)
    assert "after" not in where
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED, lines=[f"line {n}" for n in (1, 2, 3)])]
    got = [event async for event in told(await listen(caller, where.removeprefix("/prog/")))]
    assert got[0].kind == "reset"
    assert got[-2].data.split("\n")[-1] == rows(job, 3, 3)[0]
    # Once it is over, there is nothing to wait for.
    over = await render(request, 'fragments job "rows/row.html"', job=job)
    assert over.count("<li") == 3
    assert "sse-connect" not in over


async def test_a_page_that_polls_begins_behind_its_rows(caller: Caller, remote: Remote) -> None:
    job = await going_on(caller, remote, *(Line(f"line {n}") for n in (1, 2)))
    request = await request_of(caller)
    page = await render(request, 'fragments job "rows/row.html" "newest" every=2', job=job)
    assert re.findall(r"<li.*", page)[:2] == rows(job, 1, 2)[::-1]
    assert one(r'hx-trigger="([^"]+)"', page) == "load, every 2s"
    assert one(r'hx-swap="([^"]+)"', page) == "afterbegin"
    name, cursor = re.findall(r'<input type="hidden" id="([^"]+)-cursor" name="after" value="(\d+\.2)">', page)[0]
    assert one(r'hx-include="#([^"]+)-cursor"', page) == name
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED, lines=[f"line {n}" for n in (1, 2, 3)])]
    await caller.complete(job)
    where = one(r'hx-get="([^"]+)"', page).removeprefix("/prog/")
    response = await caller.get(f"{where}&after={cursor}", hx_trigger=name)
    assert response.content.decode().split("\n")[0] == rows(job, 3, 3)[0]
    assert f'id="{name}-cursor"'.encode() in response.content


async def test_what_lines_say_is_escaped(caller: Caller, remote: Remote) -> None:
    job = await going_on(caller, remote, Line(EVIL, "info", EVIL))
    for template in ("rows/row.html", "progrock/line.html"):
        page = await render(await request_of(caller), f'fragments job "{template}"', job=job)
        assert "&lt;script&gt;" in page
        assert "<script" not in page


async def test_somebody_elses_rows_are_in_no_page(caller: Caller, remote: Remote) -> None:
    job = await going_on(caller, remote, Line("secret"))
    stranger = Caller()
    await stranger.start()
    assert "secret" not in await render(await request_of(stranger), "fragments job", job=job)
    assert "secret" not in await render(await request_of(Caller()), "fragments job", job=job)
    assert "secret" in await render(await request_of(caller), "fragments job", job=job)


async def test_where_nobody_can_be_asked_the_stream_brings_all(caller: Caller, remote: Remote) -> None:
    job = await going_on(caller, remote, Line("said"))
    owner = await owner_of_request(await request_of(caller))
    snapshot = await jobs.aget(job, owner=str(owner))
    template = Template("{% load progrock_fragments %}{% fragments job target='mine' url='/own/' %}")
    for page in (
        template.render(RequestContext(await request_of(caller), {"job": snapshot})),
        await render(await request_of(caller), "fragments job target='mine' url='/own/'", job=snapshot),
    ):
        assert "said" not in page
        assert one(r'sse-connect="([^"]+)"', page) == "/own/"
        assert re.findall(r'hx-target="([^"]+)"', page)[:2] == ["#mine", "#mine"]


@pytest.mark.parametrize("wrong", ["mode='up'", "every=0", "every='1s'", "element='script'", "every=3601"])
async def test_what_is_wrong_with_a_tag_is_said(caller: Caller, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\w+: expected .*, got "):
        await render(await request_of(caller), f"fragments job {wrong}", job=str(uuid.uuid4()))
