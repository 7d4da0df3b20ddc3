"""Share links: one job, to look at, until a time; whatever else is asked with one is refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.core import signing
from django.test import override_settings

from progrock import sharing
from progrock.exceptions import Invalid, NotFound
from progrock.push import token_for
from progrock.sharing import SECONDS_MOST, ashare, read
from progrock.updates import hub
from tests.consumers.test_receiver import Run, Socket
from tests.http.conftest import PAGE, events, refused, said
from tests.http.conftest import engine as engine
from tests.http.conftest import policy as policy
from tests.http.conftest import remote as remote
from tests.http.conftest import service as service
from tests.http.conftest import tell as tell
from tests.http.conftest import uncounted as uncounted
from tests.test_rights import OWNER, Jobs, answer, who
from tests.test_rights import theirs as theirs


async def test_a_link_is_made_by_whose_job_it_is_and_leads_to_its_page(theirs: Jobs) -> None:
    owner = await who("owner")
    told = said(await owner.http.post(f"jobs/{theirs.going}/share", {"seconds": 60}), 201)
    assert told["url"] == f"http://testserver/prog/shared/{told['token']}/"
    assert 0 < told["expires"] - time.time() * 1000 <= 60_000
    assert read(told["token"]).job == theirs.going
    other = (await who("nobody")).http
    response = await other.get(f"shared/{told['token']}/", **PAGE)
    page = response.content.decode()
    assert "secret" in page
    assert f'src="/prog/?share={told["token"]}"' in page
    assert "<form" not in page
    assert "csrf" not in page
    assert (response["Referrer-Policy"], response["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert "private" in response["Cache-Control"]
    assert said(await other.get(f"shared/{told['token']}/"))["job"] == theirs.going
    moved = await other.get(f"jobs/{theirs.going}/?share={told['token']}", **PAGE)
    assert moved["Location"] == f"/prog/shared/{told['token']}/"
    done = said(await owner.http.post(f"jobs/{theirs.done}/share"), 201)["token"]
    page = (await other.get(f"shared/{done}/", **PAGE)).content.decode()
    assert f'href="/prog/jobs/{theirs.done}/file?share={done}"' in page
    assert (await other.get(f"jobs/{theirs.done}/file?share={done}")).status_code == 200
    # Neither its children, nor its owner's other jobs.
    assert said(await other.get(f"jobs/?parent={theirs.done}&share={done}"))["jobs"] == []
    refused(await other.get(f"jobs/{theirs.child}/?share={done}"), 404, "not_found")


@pytest.mark.parametrize(
    ("name", "status"), [("staff view change", 403), ("link", 403), ("another user", 404), ("nobody", 404)]
)
async def test_nobody_else_makes_one(theirs: Jobs, name: str, status: int) -> None:
    response = await (await who(name, theirs)).post(f"jobs/{theirs.going}/share")
    refused(response, status, {403: "forbidden", 404: "not_found"}[status])


@pytest.mark.parametrize("body", [{"seconds": 0}, {"seconds": SECONDS_MOST + 1}, {"seconds": "60"}, {"job": "x"}])
async def test_a_link_is_not_made_for_any_time(theirs: Jobs, body: Any) -> None:
    refused(await (await who("owner")).http.post(f"jobs/{theirs.going}/share", body), 400, "invalid")


async def test_who_makes_one_in_python_says_whose_job_it_is(theirs: Jobs) -> None:
    with pytest.raises(NotFound):
        await ashare(theirs.going, owner="session:another")
    for seconds in (0, SECONDS_MOST + 1, True, 1.5):
        with pytest.raises(Invalid):
            await ashare(theirs.going, owner=OWNER, seconds=seconds)  # type: ignore[arg-type]


def _tokens(job: str, good: str) -> dict[str, str]:
    salt = sharing._SALT
    return {
        "over": signing.dumps([job, int(time.time()) - 1], salt=salt),
        "changed": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "of another purpose": token_for(job),
        "no job": signing.dumps(["x", int(time.time()) + 60], salt=salt),
        "no list": signing.dumps(job, salt=salt),
        "no time": signing.dumps([job, None], salt=salt),
        "garbage": "%00:%FF:é",
        "long": "x" * 3_000,
    }


async def test_a_link_that_is_over_or_forged_leads_nowhere(theirs: Jobs, tasks: Run) -> None:
    other = (await who("nobody")).http
    for kind, token in _tokens(theirs.going, await ashare(theirs.going, owner=OWNER)).items():
        for path in (f"jobs/{theirs.going}/", f"jobs/{theirs.going}/stream", f"updates?job={theirs.going}", "jobs/"):
            response = await other.get(f"{path}{'&' if '?' in path else '?'}share={token}")
            assert response.status_code == 404, (kind, path)
        assert (await other.get(f"shared/{token}/")).status_code == 404, kind
        socket = Socket(tasks, {"query_string": f"share={token}".encode()})
        assert await answer(socket, action="watch", job=theirs.going) == "not_found", kind
        assert await answer(socket, action="start") == "forbidden"
    with override_settings(SECRET_KEY="another"), pytest.raises(NotFound):
        read(signing.dumps([theirs.going, int(time.time()) + 60], salt=sharing._SALT, key="for the tests"))


async def test_who_may_have_a_link_among_too_many_fields_has_no_more_than_one_allows(theirs: Jobs, tasks: Run) -> None:
    one = await who("owner")
    token = await ashare(theirs.going, owner=OWNER)
    for query in ("a&" * 101, f"share={token}&" + "a&" * 101):
        socket = Socket(tasks, {**one.scope, "query_string": query.encode()})
        await socket.hear("hello")
        assert await answer(socket, action="watch", job=theirs.going) == "not_found"
        assert await answer(socket, action="start") == "forbidden"
    # What is no ASCII is no reason to end either.
    socket = Socket(tasks, {**one.scope, "query_string": b"who=\xff&\xe9"})
    await socket.hear("hello")
    assert await answer(socket, action="watch", job=theirs.going) == "snapshot"


async def test_a_link_speaks_for_nobody_whoever_has_it(theirs: Jobs) -> None:
    """Also its owner's own browser sees what others see, and staff no more."""
    for name in ("owner", "staff view change"):
        one = await who(name)
        one.share = await ashare(theirs.going, owner=OWNER)
        assert (await one.get(f"jobs/{theirs.going}/")).status_code == 200
        assert (await one.get(f"jobs/{theirs.done}/")).status_code == 404
        refused(await one.post(f"jobs/{theirs.going}/cancel"), 403, "forbidden")
        assert said(await one.get("jobs/"))["jobs"] == []


async def test_what_is_watched_by_a_link_ends_with_it_to_the_second(theirs: Jobs, tasks: Run) -> None:
    token = await ashare(theirs.going, owner=OWNER, seconds=5)
    other = (await who("nobody")).http
    socket = Socket(tasks, {"query_string": f"share={token}".encode()})
    assert await answer(socket, action="watch", job=theirs.going) == "snapshot"
    frames = [
        each async for each in events(await other.get(f"jobs/{theirs.going}/stream?share={token}"))
    ]  # until the server ends it
    assert read_until(token) - 0.1 <= time.time() <= read_until(token) + 8
    assert (frames[0]["type"], frames[-1]["code"]) == ("snapshot", "not_found")
    error = await socket.hear("error")
    assert (error["code"], error["job"]) == ("not_found", theirs.going)
    before = len(socket.of("update"))
    assert await answer(socket, action="ping") == "pong"
    assert len(socket.of("update")) == before
    assert not [each for each in hub()._sinks if each[0] == OWNER]


def read_until(token: str) -> int:
    found: list[Any] = json.loads(signing.b64_decode(token.split(":")[0].encode()))
    return int(found[1])
