"""Jobs over HTTP: started, listed, looked at, waited for, cancelled, tried again, and what came of them."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import AsyncClient
from django.test.client import FakePayload

from progrock import jobs, quota
from progrock.models import Job
from progrock.testing import Reading, Remote, State
from tests.conftest import until
from tests.http.conftest import PAGE, Caller, refused, said

pytestmark = pytest.mark.usefixtures("engine")


# Starting


async def test_a_start_is_answered_with_where_to_look(caller: Caller) -> None:
    response = await caller.post("jobs/", {"service": "scripted", "params": {"title": "A"}})
    accepted = said(response, 202)
    assert (accepted["type"], accepted["title"], accepted["complete"]) == ("accepted", "A", False)
    job = accepted["job"]
    assert response["Location"] == f"/prog/jobs/{job}/"
    assert response["Link"] == f'</prog/jobs/{job}/stream>; rel="monitor"; type="text/event-stream"'
    assert int(response["Retry-After"]) > 0
    assert (await caller.complete(job))["state"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "kind"), [("", "application/json"), ("", ""), ("{}", "application/json; charset=utf-8")]
)
async def test_a_bare_start_starts_the_default_service(caller: Caller, body: str, kind: str) -> None:
    accepted = said(await caller.post("jobs/", body, content_type=kind), 202)
    assert accepted["service"] == "scripted"


async def test_a_job_may_be_given_a_deadline(caller: Caller, going: Remote) -> None:
    job = await caller.start(deadline=60)
    ended = await caller.complete(job)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "deadline")


async def test_the_same_key_is_the_same_job_in_header_and_body(caller: Caller, going: Remote) -> None:
    first = said(await caller.post("jobs/", {}, idempotency_key="k"), 202)["job"]
    for headers, body in (
        ({"idempotency_key": '"k"'}, {}),
        ({}, {"key": "k"}),
        ({"idempotency_key": "k"}, {"key": "k"}),
        ({"idempotency_key": "k"}, {"key": None}),
    ):
        assert said(await caller.post("jobs/", body, **headers), 202)["job"] == first
    assert said(await caller.post("jobs/", {}, idempotency_key="l"), 202)["job"] != first
    assert "another" in refused(await caller.post("jobs/", {"key": "x"}, idempotency_key="k"), 400, "invalid")


async def test_many_starts_with_one_key_at_once_are_one_job(caller: Caller, going: Remote) -> None:
    await caller.start()  # it has a session now, as two tabs have
    answers = await asyncio.gather(*(caller.post("jobs/", {}, idempotency_key="k") for _ in range(4)))
    assert len({said(answer, 202)["job"] for answer in answers}) == 1
    assert await Job.objects.filter(key="k").acount() == 1
    # It is the same start, and no new one: it costs nothing, however often it is sent.
    for _ in range(10):
        assert said(await caller.post("jobs/", {}, idempotency_key="k"), 202)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ("not json", 400, "bad_frame", "no JSON"),
        ("[1]", 400, "bad_frame", "got a list"),
        (b"\xff{}", 400, "bad_frame", "UTF-8"),
        ("[" * 60_000, 400, "bad_frame", "nested too deep"),
        ({"service": 5}, 400, "invalid", "service"),
        ({"params": []}, 400, "invalid", "params"),
        ({"key": ""}, 400, "invalid", "key"),
        ({"key": "k" * 65}, 400, "invalid", "key"),
        ({"key": "\n"}, 400, "invalid", "key"),
        ({"deadline": 0}, 400, "invalid", "deadline"),
        ({"deadline": 1.5}, 400, "invalid", "deadline"),
        ({"service": "none"}, 422, "unknown_service", "'scripted', got 'none'"),
        ({"params": {"bad": 1}}, 422, "invalid_params", "expected no 'bad'"),
        ({"params": {"a": "\0"}}, 422, "invalid_params", "NUL"),
        ({"params": {"a": "x" * 10_000}}, 422, "invalid_params", "8192"),
        (b"x" * 65_537, 413, "too_long", "65536"),
    ],
)
async def test_what_is_wrong_with_a_start_is_said(
    caller: Caller, body: object, status: int, code: str, words: str
) -> None:
    assert words in refused(await caller.post("jobs/", body), status, code)
    assert not await Job.objects.aexists()


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"])
async def test_other_media_types_are_refused(caller: Caller, kind: str) -> None:
    detail = refused(await caller.post("jobs/", "x", content_type=kind), 415, "other_type")
    assert "application/json or application/x-www-form-urlencoded" in detail


async def test_a_long_body_of_unknown_length_is_refused(caller: Caller) -> None:
    response: Any = await caller.http.request(
        method="POST",
        path="/prog/jobs/",
        _body_file=FakePayload(b" " * 70_000),
        headers=[(b"content-type", b"application/json")],
    )
    refused(response, 413, "too_long")


async def test_more_starts_than_an_owner_has_in_a_minute_are_refused(
    caller: Caller, going: Remote, limit: Callable[..., None]
) -> None:
    limit(max_starts_per_minute=2)
    for _ in range(2):
        await caller.start()
    response = await caller.post("jobs/", {})
    says = refused(response, 429, "too_many")
    assert says == f"Expected at most 2 starts a minute, got one more. Try again in {response['Retry-After']} s."
    assert 30 < int(response["Retry-After"]) <= 60
    # Somebody else's starts are their own.
    await Caller().start()


async def test_too_many_unfinished_jobs_are_refused(caller: Caller, going: Remote, settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAX_UNFINISHED": 1}
    await caller.start()
    response = await caller.post("jobs/", {})
    assert "unfinished" in refused(response, 429, "too_many")
    assert "Retry-After" in response


async def test_a_browser_without_a_session_gets_one(caller: Caller) -> None:
    job = await caller.start()
    assert "sessionid" in caller.http.cookies
    assert (await caller.snapshot(job))["job"] == job
    stranger = Caller()
    refused(await stranger.post("jobs/", "nonsense"), 400, "bad_frame")
    assert "sessionid" not in stranger.http.cookies


async def test_a_post_without_a_token_is_refused() -> None:
    guarded = AsyncClient(enforce_csrf_checks=True)
    await guarded.get("/")
    for path in ("jobs/", f"jobs/{uuid.uuid4()}/cancel", f"jobs/{uuid.uuid4()}/retry"):
        assert (await guarded.post(f"/prog/{path}", "{}", content_type="application/json")).status_code == 403
    assert not await Job.objects.aexists()


async def test_a_list_brings_the_token_that_a_post_needs() -> None:
    guarded = AsyncClient(enforce_csrf_checks=True)
    await guarded.get("/prog/jobs/")
    headers = {"X-CSRFToken": guarded.cookies["csrftoken"].value}
    response = await guarded.post("/prog/jobs/", "{}", content_type="application/json", headers=headers)
    assert response.status_code == 202


# Listing


async def made(owner: str, count: int) -> list[str]:
    """Return the ids of new rows, oldest first, of which some were made in the same moment."""
    from django.utils import timezone

    moment = timezone.now()
    rows = [
        Job(service="scripted", owner=owner, state="cancelled", created=moment, changed=moment, finished=moment, seq=n)
        for n in range(count)
    ]
    await Job.objects.abulk_create(rows)
    return [str(row.pk) for row in rows]


async def test_pages_are_stable_while_jobs_are_added(caller: Caller, going: Remote) -> None:
    first = await caller.start()
    owner = (await Job.objects.aget(pk=first)).owner
    known = {first, *await made(owner, 9)}
    seen: list[str] = []
    path: str | None = "jobs/?limit=3"
    pages = 0
    while path:
        response = await caller.get(path)
        frame = said(response)
        assert (frame["type"], len(frame["jobs"]) <= 3) == ("jobs", True)
        seen += [job["job"] for job in frame["jobs"]]
        path = frame["next"] and frame["next"].removeprefix("/prog/")
        assert ("Link" in response.headers) == bool(path)
        pages += 1
        assert pages < 10
        if pages == 2:
            await made(owner, 2)
    assert len(seen) == len(set(seen))
    assert set(seen) == known


async def test_the_list_is_newest_first_and_mine(caller: Caller, going: Remote) -> None:
    mine = [await caller.start() for _ in range(3)]
    await Caller().start()
    frame = said(await caller.get("jobs/"))
    assert [job["job"] for job in frame["jobs"]] == mine[::-1]
    assert frame["next"] is None
    assert frame["now"] > 1e12
    assert said(await Caller().get("jobs/"))["jobs"] == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=x", "limit=", "limit=1e1", "before=", "before=x", "before=1.x", "before=9.9"),
        *(f"before={'9' * 60}.{uuid.uuid4()}", f"before=-1.{uuid.uuid4()}", f"before={'1' * 100}"),
    ],
)
async def test_what_is_wrong_with_a_list_is_said(caller: Caller, query: str) -> None:
    assert "expected" in refused(await caller.get(f"jobs/?{query}"), 400, "invalid")


# Looking


async def test_what_has_not_changed_is_not_sent_again(caller: Caller) -> None:
    job = await caller.start()
    await caller.complete(job)
    response = await caller.get(f"jobs/{job}/")
    tag = response["ETag"]
    assert re.fullmatch(r'W/"\d+-succeeded"', tag)
    assert "Retry-After" not in response
    for held in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = await caller.get(f"jobs/{job}/", if_none_match=held)
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
    for held in ('"other"', 'W/"0-pending"', "nonsense", '"' * 5000):
        assert (await caller.get(f"jobs/{job}/", if_none_match=held)).status_code == 200
    assert "private" in response["Cache-Control"]
    assert {"Accept", "Cookie"} <= set(response["Vary"].split(", "))


async def test_a_cancel_changes_the_etag_at_once(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    await until(lambda: going.polls)
    going.gate.clear()
    tag = (await caller.get(f"jobs/{job}/"))["ETag"]
    await caller.post(f"jobs/{job}/cancel")
    assert (await caller.get(f"jobs/{job}/", if_none_match=tag)).status_code == 200
    going.gate.set()


async def test_without_a_cursor_there_is_no_journal_and_with_one_there_is(caller: Caller) -> None:
    job = await caller.start()
    ended = await caller.complete(job)
    assert "journal" not in await caller.snapshot(job)
    answer = said(await caller.get(f"jobs/{job}/?after={ended['seq']}"))
    assert (answer["type"], answer["resume"], answer["journal"]) == ("snapshot", "recovered", [])
    assert said(await caller.get(f"jobs/{job}/?after={2**53 - 1}"))["resume"] == "reset"


@pytest.mark.parametrize("query", ["after=-1", "after=x", f"after={2**53}", "after=", "wait=-1", "wait=31", "wait=nan"])
async def test_what_is_wrong_with_a_look_is_said(caller: Caller, query: str) -> None:
    assert "expected" in refused(await caller.get(f"jobs/{uuid.uuid4()}/?{query}"), 400, "invalid")


async def waits(caller: Caller, remote: Remote, path: str, **headers: str) -> Any:
    """Return what a request is answered that waits until the remote goes on."""
    waiting = asyncio.ensure_future(caller.get(path, **headers))
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done(), (await waiting).content
    remote.gate.set()
    async with asyncio.timeout(15):  # it does not sit out the time that it may wait
        return await waiting


@pytest.fixture
async def held(caller: Caller, remote: Remote) -> tuple[str, dict[str, Any]]:
    """A job that stands still while the remote's gate is shut."""
    remote.say(Reading(State.RUNNING, 10))
    job = await caller.start()
    await until(lambda: remote.polls)
    remote.gate.clear()
    await settled(caller, job)
    remote.looks[f"r-{job}"] = [Reading(State.RUNNING, 60), Reading(State.SUCCEEDED, 100, result={"a": 1})]
    return job, await caller.snapshot(job)


async def settled(caller: Caller, job: str) -> None:
    """Wait until a job stands still, with the remote's gate shut."""
    seqs: list[int] = []

    async def still() -> bool:
        seqs.append((await caller.snapshot(job))["seq"])
        return len(seqs) > 20 and len(set(seqs[-20:])) == 1

    await until(still)


async def test_a_look_waits_for_what_is_newer_than_its_cursor(
    caller: Caller, remote: Remote, held: tuple[str, dict[str, Any]]
) -> None:
    job, snapshot = held
    answer = said(await waits(caller, remote, f"jobs/{job}/?wait=20&after={snapshot['seq']}"))
    assert answer["seq"] > snapshot["seq"]
    assert answer["percent"] >= 60


@pytest.mark.parametrize("spell", [str.upper, lambda job: job.replace("-", ""), lambda job: f"urn:uuid:{job}"])
async def test_a_job_is_the_same_however_its_id_is_spelled(
    caller: Caller, remote: Remote, held: tuple[str, dict[str, Any]], spell: Callable[[str], str]
) -> None:
    job, snapshot = held
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED, lines=["said"])]
    answer = said(await waits(caller, remote, f"jobs/{spell(job)}/?wait=20&after={snapshot['seq']}"))
    assert (answer["job"], answer["state"]) == (job, "succeeded")
    assert [line["text"] for line in answer["journal"]] == ["said"]


async def test_a_look_waits_for_another_etag(caller: Caller, remote: Remote, held: tuple[str, dict[str, Any]]) -> None:
    job, snapshot = held
    tag = (await caller.get(f"jobs/{job}/"))["ETag"]
    response = await waits(caller, remote, f"jobs/{job}/", if_none_match=tag, prefer="respond-async, wait=20")
    assert said(response)["seq"] > snapshot["seq"]
    assert response["Preference-Applied"] == "wait=20"


async def test_a_wait_ends_with_its_time(caller: Caller, remote: Remote, held: tuple[str, dict[str, Any]]) -> None:
    job, snapshot = held
    loop = asyncio.get_running_loop()
    tag = (await caller.get(f"jobs/{job}/"))["ETag"]
    began = loop.time()
    assert said(await caller.get(f"jobs/{job}/?wait=0.3&after={snapshot['seq']}"))["seq"] == snapshot["seq"]
    assert (await caller.get(f"jobs/{job}/?wait=0.3", if_none_match=tag)).status_code == 304
    assert 0.6 <= loop.time() - began < 10
    # What is news already is not waited for.
    assert said(await caller.get(f"jobs/{job}/?wait=20&after=1"))["seq"] == snapshot["seq"]
    assert said(await caller.get(f"jobs/{job}/?wait=20"))["seq"] == snapshot["seq"]
    assert loop.time() - began < 10
    remote.gate.set()


async def test_a_look_goes_on_to_the_result_once_it_is_there(
    caller: Caller, remote: Remote, held: tuple[str, dict[str, Any]]
) -> None:
    job, _ = held
    assert (await caller.get(f"jobs/{job}/?redirect=1")).status_code == 200
    response = await waits(caller, remote, f"jobs/{job}/?wait=20&redirect=1")
    assert (response.status_code, response["Location"]) == (303, f"/prog/jobs/{job}/result")


async def test_the_same_owner_waits_for_fifty_at_most(
    caller: Caller, remote: Remote, held: tuple[str, dict[str, Any]], limit: Callable[..., None]
) -> None:
    job, snapshot = held
    limit(max_streams=2)
    path = f"jobs/{job}/?wait=20&after={snapshot['seq']}"
    waiting = [asyncio.ensure_future(caller.get(path)) for _ in range(2)]
    from progrock.http import bounds

    await until(lambda: sum(bounds._open.values()) == 2)
    for refusing in (path, f"jobs/{job}/stream", f"updates?job={job}"):
        assert "open requests" in refused(await caller.get(refusing), 429, "too_many")
    remote.gate.set()
    assert [said(await each)["job"] for each in waiting] == [job, job]


# What is not theirs


@pytest.mark.parametrize(
    "path", ["", "cancel", "retry", "result", "file", "stream", "?wait=10", "result?wait=10", "?after=5"]
)
async def test_what_is_somebody_elses_is_not_there(caller: Caller, going: Remote, path: str) -> None:
    job = await caller.start()
    await Caller().start()
    stranger = Caller()
    await stranger.start()
    for who in (stranger, Caller()):
        for each in (job, str(uuid.uuid4())):
            post = path in ("cancel", "retry")
            response = await (who.post if post else who.get)(f"jobs/{each}/{path}")
            assert response.status_code == 404
            if path != "file":
                assert refused(response, 404, "not_found") == f"Expected the id of a job of yours, got {each}."
    assert (await caller.snapshot(job))["state"] in ("pending", "running")


@pytest.mark.parametrize("name", ["x", "%ff", "%00", "%0d%0aX-Evil:1", "..", "%F0%9F%8E%B8", "{}", "0" * 5_000])
async def test_what_is_no_id_is_not_there_either(caller: Caller, name: str) -> None:
    response = await caller.get(f"jobs/{name}/")
    assert "Expected the id of a job" in refused(response, 404, "not_found")
    assert response["X-Content-Type-Options"] == "nosniff"


# Cancelling, trying again, and what came of it


async def test_a_job_is_cancelled(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    assert said(await caller.post(f"jobs/{job}/cancel"), 202)["state"] == "cancelling"
    assert (await caller.complete(job))["state"] == "cancelled"
    # It is over: nothing is asked for any more.
    assert said(await caller.post(f"jobs/{job}/cancel"), 200)["state"] == "cancelled"


async def test_a_job_that_is_over_is_tried_again_once(caller: Caller, going: Remote) -> None:
    job = await caller.start(params={"title": "T"})
    assert "is over" in refused(await caller.post(f"jobs/{job}/retry"), 409, "not_complete")
    await caller.post(f"jobs/{job}/cancel")
    await caller.complete(job)
    response = await caller.post(f"jobs/{job}/retry")
    again = said(response, 202)
    assert (again["type"], again["attempt"], again["retry_of"], again["title"]) == ("accepted", 2, job, "T")
    assert response["Location"] == f"/prog/jobs/{again['job']}/"
    assert said(await caller.post(f"jobs/{job}/retry"), 202)["job"] == again["job"]


async def test_retries_are_starts(caller: Caller, going: Remote, limit: Callable[..., None]) -> None:
    limit(max_starts_per_minute=1)
    job = await caller.start()
    await caller.post(f"jobs/{job}/cancel")
    await caller.complete(job)
    assert "1 starts a minute" in refused(await caller.post(f"jobs/{job}/retry"), 429, "too_many")


async def test_those_who_come_without_a_session_are_bounded_by_their_address(
    caller: Caller, going: Remote, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "MINUTE", 3_600)  # there is no room again before the test is over
    limit(max_starts_per_minute=1)
    for _ in range(10):
        await Caller().start()
    response = await Caller().post("jobs/", {})
    assert "of an address without a login" in refused(response, 429, "too_many")
    assert "sessionid" not in response.cookies


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
async def test_so_are_those_who_take_a_new_session_for_each_start(
    going: Remote, limit: Callable[..., None], form: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "MINUTE", 3_600)
    limit(max_starts_per_minute=1)
    body, kind = ("", "application/x-www-form-urlencoded") if form else ("{}", "application/json")

    async def start() -> Any:
        browser = AsyncClient()
        await browser.get("/")
        assert browser.cookies["sessionid"].value
        return await browser.post("/prog/jobs/", body, content_type=kind)

    first = Caller()
    job = await first.start()
    assert [(await start()).status_code for _ in range(9)] == [202] * 9
    refused(await start(), 429, "too_many")
    # A retry is a start.
    await first.post(f"jobs/{job}/cancel")
    await first.complete(job)
    assert "of an address without a login" in refused(await first.post(f"jobs/{job}/retry"), 429, "too_many")


async def test_who_is_logged_in_is_not_bounded_by_an_address(going: Remote, limit: Callable[..., None]) -> None:
    limit(max_starts_per_minute=1)
    for n in range(12):
        one = Caller()
        await one.http.aforce_login(await User.objects.acreate(username=str(n)))
        await one.start()
    await Caller().start()


async def test_who_may_start_nothing_yet_takes_nothing_from_others_there(
    caller: Caller, going: Remote, limit: Callable[..., None]
) -> None:
    limit(max_starts_per_minute=1)
    await caller.start()
    # The first of them is only counted before the database has said no.
    for _ in range(30):
        assert "1 starts a minute, got" in refused(await caller.post("jobs/", {}), 429, "too_many")
    for _ in range(8):
        await Caller().start()


async def test_parameters_and_results_are_as_long_as_the_settings_allow(
    caller: Caller, remote: Remote, limit: Callable[..., None]
) -> None:
    limit(max_params_bytes=30, max_result_bytes=30)
    says = refused(await caller.post("jobs/", {"params": {"title": "x" * 20}}), 422, "invalid_params")
    assert says == "Expected parameters of at most 30 bytes as JSON, got 32."
    for length, kept in ((28, True), (29, False)):
        remote.default = [Reading(State.SUCCEEDED, result="x" * length)]
        job = await caller.start(params={"title": "x" * 18})
        ended = await caller.complete(job)
        assert (ended["state"], "too large to be kept" in ended["message"]) == ("succeeded", not kept)
        response: Any = await caller.get(f"jobs/{job}/result")
        assert response.json() == ("x" * length if kept else None)


async def test_a_body_is_as_long_as_the_settings_allow(caller: Caller, limit: Callable[..., None]) -> None:
    limit(max_frame_bytes=2_000)
    assert "at most 2000 bytes" in refused(await caller.post("jobs/", {"x": "y" * 2_000}), 413, "too_long")


async def test_the_result_is_given(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.SUCCEEDED, result={"notes": [1, None, "ü"]}))
    job = await caller.start()
    response = await caller.get(f"jobs/{job}/result?wait=10")
    assert said(response) == {"notes": [1, None, "ü"]}


async def test_a_file_is_where_it_is_said_to_be(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.SUCCEEDED, file="audio/wav", result=5))
    job = await caller.start()
    response = await caller.get(f"jobs/{job}/result?wait=10")
    assert (response.status_code, response["Location"]) == (303, f"/prog/jobs/{job}/file")
    file: Any = await caller.http.get(response["Location"])
    assert b"".join([part async for part in file]).startswith(b"the file of")


async def test_what_is_not_over_has_no_result_yet(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    response = await caller.get(f"jobs/{job}/result")
    assert said(response, 202)["job"] == job
    assert "Retry-After" in response
    assert said(await caller.get(f"jobs/{job}/result", prefer="wait=0"), 202)


@pytest.mark.parametrize(
    ("look", "words"),
    [(Reading(State.FAILED, message="No ink."), "failed: No ink."), (Reading(State.CANCELLED), "failed")],
)
async def test_what_failed_has_none(caller: Caller, remote: Remote, look: Reading, words: str) -> None:
    remote.say(look)
    job = await caller.start()
    assert words in refused(await caller.get(f"jobs/{job}/result?wait=10"), 409, "not_succeeded")


async def test_what_was_cancelled_has_none(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    await caller.post(f"jobs/{job}/cancel")
    detail = refused(await caller.get(f"jobs/{job}/result?wait=10"), 409, "not_succeeded")
    assert "was cancelled." in detail


# Methods, and trouble


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("jobs/", "GET, HEAD, OPTIONS, POST"),
        ("jobs/x/", "GET, HEAD, OPTIONS"),
        ("jobs/x/cancel", "OPTIONS, POST"),
        ("jobs/x/retry", "OPTIONS, POST"),
        ("jobs/x/result", "GET, HEAD, OPTIONS"),
        ("jobs/x/stream", "GET, HEAD, OPTIONS"),
        ("updates", "GET, HEAD, OPTIONS"),
        ("openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods_are_refused_and_told_which_there_are(caller: Caller, path: str, allow: str) -> None:
    options = await caller.http.options(f"/prog/{path}")
    assert (options.status_code, options["Allow"]) == (204, allow)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - set(allow.split(", ")):
        response: Any = await caller.http.generic(method, f"/prog/{path}")
        assert f"got '{method}'" in refused(response, 405, "no_such_method")
        assert response["Allow"] == allow


async def test_a_head_has_what_a_get_has_but_its_body(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    for path in ("jobs/", f"jobs/{job}/", f"jobs/{job}/stream", f"updates?job={job}", "openapi.json"):
        response: Any = await caller.http.head(f"/prog/{path}")
        assert (response.status_code, response.streaming) == (200, False)


@pytest.mark.parametrize("where", ["aget", "apage", "astart", "acancel", "aretry"])
async def test_a_database_that_is_away_is_said(
    caller: Caller, going: Remote, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    job = await caller.start()

    async def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(jobs, where, away)
    ask = {
        "aget": lambda: caller.get(f"jobs/{job}/"),
        "apage": lambda: caller.get("jobs/"),
        "astart": lambda: caller.post("jobs/", {}),
        "acancel": lambda: caller.post(f"jobs/{job}/cancel"),
        "aretry": lambda: caller.post(f"jobs/{job}/retry"),
    }[where]
    response = await ask()
    assert "database" in refused(response, 503, "unavailable")
    assert int(response["Retry-After"]) > 0


async def test_what_breaks_on_our_side_is_told_in_no_detail(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(jobs, "apage", broken)
    assert "secret" not in refused(await caller.get("jobs/"), 503, "unavailable")
    assert "secret" in caplog.text


@pytest.mark.parametrize("path", ["jobs/", "jobs/x/", "updates"])
async def test_what_django_has_bounds_for_is_refused_without_a_traceback(
    caller: Caller, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    path += "?" + "a&" * 1_001
    assert "TooManyFieldsSent" in refused(await caller.get(path), 400, "invalid")
    assert (await caller.get(path, accept=PAGE["Accept"])).status_code == 400
    assert not [each for each in caplog.records if each.exc_info or each.levelname == "ERROR"]


async def test_a_person_gets_a_page_of_what_was_refused(caller: Caller) -> None:
    response = await caller.get("jobs/x/", accept=PAGE["Accept"])
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"Expected the id of a job, got &#x27;x&#x27;." in response.content
