"""A remote API declared in settings, against servers that answer as APIs do, well or badly."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from progrock.exceptions import InvalidParams
from progrock.protocol import State
from progrock.services import Elsewhere, File, HTTPService, Order, Started
from progrock.step import Look, Miss, Reading
from tests.services.remote import HANG, Remote

JOB = str(uuid.UUID(int=7))
PLAIN: dict[str, Any] = {
    "start": {"call": "POST /jobs", "json": "{input: params, webhook: hook}", "key": "Idempotency-Key"},
    "status": {"call": "GET /jobs/{remote}"},
    "cancel": {"call": "DELETE /jobs/{remote}"},
    "find": {"call": "GET /jobs?key={job}", "at": "jobs[0]"},
    "reading": {
        "remote": "id",
        "state": "status",
        "percent": "percent",
        "message": "note",
        "title": "name",
        "result": "output",
        "error": "error.message",
    },
    "states": {"queued": "pending", "COMPLETED": "succeeded", "broken": "failed", "stopped": "cancelled"},
}
NO_STATE: dict[str, Any] = {
    "start": {"call": "POST /jobs", "json": "params", "location": "Location"},
    "status": {"call": "GET /{+remote}"},
    "reading": {"result": "@"},
}
Declare = Callable[..., HTTPService]


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with Remote() as remote:
        yield remote


@pytest.fixture
async def declare(remote: Remote) -> AsyncIterator[Declare]:
    """Declare a service that is the remote."""
    made: list[HTTPService] = []

    def declare(options: dict[str, Any], *, base: str = "", **more: Any) -> HTTPService:
        made.append(HTTPService(**{"base_url": remote.url + base, **options, **more}))
        return made[-1]

    yield declare
    for service in made:
        await service.aclose()


async def look(service: HTTPService, remote: str = "17") -> Look:
    (look,) = await service.poll([remote])
    return look


async def reading(service: HTTPService, remote: str = "17") -> Reading:
    found = await look(service, remote)
    assert isinstance(found, Reading), found
    return found


async def miss(service: HTTPService, remote: str = "17") -> Miss:
    found = await look(service, remote)
    assert isinstance(found, Miss), found
    return found


async def test_a_start_sends_what_is_declared_and_reads_the_name(remote: Remote, declare: Declare) -> None:
    remote.say("POST /jobs", {"id": 17, "status": "queued", "name": "A"}, 201)
    service = declare(PLAIN, headers={"X-Who": "us"})
    assert service.starts_once
    assert service.finds
    started = await service.start(Order(JOB, {"a": [1]}, "https://us/hook"))
    assert started == Started("17", Reading(State.PENDING, title="A"))
    (asked,) = remote.asked
    assert asked.json == {"input": {"a": [1]}, "webhook": "https://us/hook"}
    assert (asked.headers["Idempotency-Key"], asked.headers["X-Who"]) == (JOB, "us")


async def test_a_job_is_followed_to_its_end(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"id": 17, "status": "queued"})
    remote.say("GET /jobs/17", {"id": "17", "status": "running", "percent": 42, "note": "At it."})
    remote.say("GET /jobs/17", {"id": "17", "status": "COMPLETED", "percent": 100, "output": {"a": 1}})
    service = declare(PLAIN)
    assert await look(service) == Reading(State.PENDING)
    assert await look(service) == Reading(State.RUNNING, 42.0, "At it.")
    assert await look(service) == Reading(State.SUCCEEDED, 100.0, result={"a": 1})


async def test_why_it_failed_is_said(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "broken", "note": "x", "error": {"message": "No ink."}})
    assert await look(declare(PLAIN)) == Reading(State.FAILED, message="No ink.")


async def test_a_start_that_is_refused_in_a_200_is_a_refusal(remote: Remote, declare: Declare) -> None:
    remote.say("POST /jobs", {"status": "broken", "error": {"message": "No such thing."}})
    assert await declare(PLAIN).start(Order(JOB, {})) == Miss("refused", "No such thing.", heard=False)


OURS: dict[str, Any] = {
    "start": {"call": "PUT /jobs/{job}", "json": "params", "named": True},
    "status": {"call": "GET /jobs/{remote}"},
    "find": {"call": "GET /jobs/{job}", "at": "status"},
    "reading": {"state": "status", "error": "why"},
}


async def test_a_service_may_take_our_name_for_the_job(remote: Remote, declare: Declare) -> None:
    remote.say(f"PUT /jobs/{JOB}", status=201)
    assert await declare(OURS).start(Order(JOB, {})) == Started(JOB, Reading(State.RUNNING))


async def test_a_start_that_was_had_before_is_that_one(remote: Remote, declare: Declare) -> None:
    """Its answer got lost, it was sent again, and the service creates nothing twice."""
    remote.say(f"PUT /jobs/{JOB}", None, 409, text=b"<p>There is one")
    remote.say(f"GET /jobs/{JOB}", {"state": "pending"})
    assert await declare(OURS, reading={"state": "state"}).start(Order(JOB, {})) == Started(JOB, Reading(State.PENDING))


@pytest.mark.parametrize(("status", "code"), [(404, "nonsense"), (503, "unreachable")])
async def test_a_conflict_is_no_proof_that_nothing_runs(
    remote: Remote, declare: Declare, status: int, code: str
) -> None:
    remote.say(f"PUT /jobs/{JOB}", None, 409)
    remote.say(f"GET /jobs/{JOB}", None, status)
    answer = await declare(OURS).start(Order(JOB, {}))
    assert isinstance(answer, Miss)
    assert (answer.code, answer.heard) == (code, True)


async def test_a_start_still_on_its_way_there_is_sent_again(remote: Remote, declare: Declare) -> None:
    """As of 409 for a key whose first request is not done yet (draft-ietf-httpapi-idempotency-key-header)."""
    remote.say("POST /jobs", None, 409, text=b"<p>Wait")
    remote.say("POST /jobs", None, 409, text=b"<p>Wait")
    answer = await declare(PLAIN).start(Order(JOB, {}))
    assert isinstance(answer, Miss)
    assert (answer.code, answer.heard) == ("nonsense", True)
    start = {"call": "POST /jobs", "json": "params"}
    assert await declare(PLAIN, start=start).start(Order(JOB, {})) == Miss(
        "refused", "The service refused the call (it answered 409).", heard=False
    )


def test_a_name_is_ours_or_the_services(declare: Declare) -> None:
    with pytest.raises(ValueError, match=r'^OPTIONS\["start"\]\["location"\]: expected one of location and named'):
        declare({**OURS, "start": {**OURS["start"], "location": "Location"}})


async def test_a_job_is_found_by_our_name_for_it(remote: Remote, declare: Declare) -> None:
    service = declare(OURS)
    assert await service.find(JOB) is None
    remote.say(f"GET /jobs/{JOB}", {"status": None})
    remote.say(f"GET /jobs/{JOB}", {"status": "running"})
    assert [await service.find(JOB) for _ in range(2)] == [None, JOB]


@pytest.mark.parametrize("nothing", [None, False, "", []])
async def test_what_is_nothing_is_no_job(remote: Remote, declare: Declare, nothing: object) -> None:
    """As `"at": "exists"` says it. Who took it for the job would look for ever at one that was never started."""
    remote.say(f"GET /jobs/{JOB}", {"exists": nothing, "more": 1})
    assert await declare(OURS, find={"call": "GET /jobs/{job}", "at": "exists"}).find(JOB) is None


async def test_a_start_that_fails_under_our_name_is_a_refusal(remote: Remote, declare: Declare) -> None:
    remote.say(f"PUT /jobs/{JOB}", {"status": "failed", "why": "No such thing."})
    assert await declare(OURS).start(Order(JOB, {})) == Miss("refused", "No such thing.", heard=False)


async def test_a_start_answered_with_another_name_than_ours_makes_no_sense(remote: Remote, declare: Declare) -> None:
    remote.say(f"PUT /jobs/{JOB}", {"id": "17", "status": "running"})
    answer = await declare({**OURS, "reading": {"remote": "id", "state": "status"}}).start(Order(JOB, {}))
    assert isinstance(answer, Miss)
    assert answer.code == "nonsense"


@pytest.mark.parametrize(
    "body", [[], {}, None, {"id": ""}, {"id": "x" * 201}, {"id": "a\nb"}, {"id": True}, {"id": {}}]
)
async def test_a_start_without_a_name_makes_no_sense(remote: Remote, declare: Declare, body: object) -> None:
    remote.say("POST /jobs", body, text=b"null")
    answer = await declare(PLAIN).start(Order(JOB, {}))
    assert isinstance(answer, Miss)
    assert answer.code == "nonsense"


async def test_a_start_that_leads_nowhere_is_refused_and_not_looked_for(remote: Remote, declare: Declare) -> None:
    answer = await declare(PLAIN).start(Order(JOB, {}))
    assert isinstance(answer, Miss)
    assert answer.code == "refused"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"status": null}',
        b'{"status": {}}',
        b'{"id": 18, "status": "queued"}',
        b'{"id": "18", "status": "COMPLETED"}',
        b'{"id": "17", "status": "running", "percent": 1e400}',
        b'{"id": "17", "status": "running", "percent": NaN}',
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_miss(remote: Remote, declare: Declare, body: bytes) -> None:
    remote.say("GET /jobs/17", text=body)
    assert (await miss(declare(PLAIN))).code == "nonsense"


async def test_an_expression_without_an_answer_is_a_miss(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "running", "logs": 7})
    service = declare(PLAIN, reading={"remote": "id", "state": "join('', logs)"})
    assert (await miss(service)).code == "nonsense"


async def test_what_is_only_shown_may_be_without_an_answer(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "running", "logs": 7})
    wild = {
        "remote": "id",
        "state": "status",
        "message": "join('', logs)",
        "percent": "length(logs)",
        "again": "abs(@)",
    }
    assert await look(declare(PLAIN, reading=wild)) == Reading(State.RUNNING)


async def test_a_word_that_is_not_known_is_running_and_logged_once(
    remote: Remote, declare: Declare, caplog: pytest.LogCaptureFixture
) -> None:
    remote.say("GET /jobs/17", {"status": "pondering\n" + "x" * 1000})
    service = declare(PLAIN)
    for _ in range(3):
        assert (await reading(service)).state is State.RUNNING
    (record,) = caplog.records
    assert "pondering" in record.getMessage()
    assert len(record.getMessage()) < 200
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize(
    ("percent", "shown"),
    [
        (42, 42.0),
        ("42", 42.0),
        ("42.5 %", 42.5),
        (" 7%", 7.0),
        (-5, -5.0),
        ("abc", None),
        (None, None),
        (True, None),
        ([1], None),
        ("1/3", None),
        ("9" * 400, None),
        ("٣", None),
    ],
)
async def test_a_percentage_is_a_number_or_nothing(
    remote: Remote, declare: Declare, percent: object, shown: float | None
) -> None:
    remote.say("GET /jobs/17", {"status": "running", "percent": percent})
    assert (await reading(declare(PLAIN))).percent == shown


@pytest.mark.parametrize(
    ("done", "total", "shown"), [(1, 4, 25.0), ("1", "4", 25.0), (1, 0, None), (None, 4, None), (0, 5, 0.0)]
)
async def test_a_share_is_done_of_total(
    remote: Remote, declare: Declare, done: object, total: object, shown: float | None
) -> None:
    remote.say("GET /jobs/17", {"status": "running", "done": done, "total": total})
    service = declare(PLAIN, reading={"remote": "id", "state": "status", "done": "done", "total": "total"})
    assert (await reading(service)).percent == shown


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("SUCCEEDED", State.SUCCEEDED),
        ("Running", State.RUNNING),
        ("completed", State.SUCCEEDED),
        ("Done", State.FAILED),
        ("DONE", State.SUCCEEDED),
    ],
)
async def test_a_word_is_known_in_any_case(remote: Remote, declare: Declare, word: str, state: State) -> None:
    """Else a job that says SUCCEEDED would be taken for running until its deadline."""
    remote.say("GET /jobs/17", {"status": word})
    service = declare(PLAIN, states={**PLAIN["states"], "Done": "failed", "DONE": "succeeded"})
    assert (await reading(service)).state is state


async def test_states_may_be_computed(remote: Remote, declare: Declare) -> None:
    """As of operations that have `done`, and then either `response` or `error`."""
    state = "done && (error && 'failed' || 'succeeded') || 'running'"
    service = declare(PLAIN, reading={"remote": "name", "state": state, "error": "error.message"}, states={})
    for body, expected in [
        ({"name": "17"}, Reading(State.RUNNING)),
        ({"done": True, "response": {}}, Reading(State.SUCCEEDED)),
        ({"done": True, "error": {"code": 3, "message": "Bad."}}, Reading(State.FAILED, message="Bad.")),
    ]:
        remote._answers.clear()
        remote.say("GET /jobs/17", body)
        assert await look(service) == expected


async def test_state_words_may_be_numbers_and_booleans(remote: Remote, declare: Declare) -> None:
    service = declare(PLAIN, states={"true": "succeeded", "3": "failed"})
    for word, state in [(True, State.SUCCEEDED), (3, State.FAILED), (False, State.RUNNING)]:
        remote._answers.clear()
        remote.say("GET /jobs/17", {"status": word})
        assert (await reading(service)).state is state


async def test_when_to_ask_again_is_heard(remote: Remote, declare: Declare) -> None:
    remote.say("POST /jobs", {"id": "17"}, 202, Retry_After="3")
    remote.say("GET /jobs/17", {"status": "running"}, Retry_After="7")
    remote.say("GET /jobs/17", {"status": "running", "wait": 1.5})
    remote.say("GET /jobs/17", None, 429, Retry_After="9")
    fields = {**PLAIN["reading"], "again": "wait"}
    service = declare(PLAIN, reading=fields)
    started = await service.start(Order(JOB, {}))
    assert isinstance(started, Started)
    assert started.reading.again == 3_000
    assert (await reading(service)).again == 7_000
    assert (await reading(service)).again == 1_500
    assert (await miss(service)).again == 9_000


async def test_an_entity_tag_saves_the_answer(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "running", "percent": 5}, ETag='"a"')
    remote.say("GET /jobs/17", None, 304, Retry_After="2")
    remote.say("GET /jobs/17", {"status": "COMPLETED"}, ETag='"b"')
    remote.say("GET /jobs/17", {"status": "COMPLETED"}, ETag='"b"')
    service = declare(PLAIN)
    assert await look(service) == Reading(State.RUNNING, 5.0)
    assert await look(service) == Reading(State.RUNNING, 5.0, again=2_000)
    assert (await reading(service)).state is State.SUCCEEDED
    assert (await reading(service)).state is State.SUCCEEDED
    # What is over is not remembered.
    assert [asked.headers.get("If-None-Match") for asked in remote.asked] == [None, '"a"', '"a"', None]


@pytest.mark.parametrize("tag", ["x" * 201, "\x80", ""])
async def test_an_entity_tag_that_cannot_be_is_let_be(remote: Remote, declare: Declare, tag: str) -> None:
    remote.say("GET /jobs/17", {"status": "running"}, ETag=tag)
    service = declare(PLAIN)
    for _ in range(2):
        assert await look(service) == Reading(State.RUNNING)
    assert "If-None-Match" not in remote.asked[1].headers


async def test_what_a_304_leaves_out_is_as_before(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "running", "wait": 5}, ETag='"a"')
    remote.say("GET /jobs/17", None, 304)
    service = declare(PLAIN, reading={"remote": "id", "state": "status", "again": "wait"})
    assert [await look(service) for _ in range(2)] == [Reading(State.RUNNING, again=5_000)] * 2


async def test_an_entity_tag_of_one_job_is_not_anothers(remote: Remote, declare: Declare) -> None:
    """Where the path is the same for all jobs, and what is sent says which."""
    remote.say("POST /status", {"id": "1", "status": "running"}, ETag='"a"')
    remote.say("POST /status", {"id": "2", "status": "COMPLETED"}, ETag='"b"')
    service = declare(PLAIN, status={"call": "POST /status", "json": "{id: remote}"})
    assert [(await reading(service, name)).state for name in ("1", "2")] == [State.RUNNING, State.SUCCEEDED]
    assert "If-None-Match" not in remote.asked[1].headers


async def test_a_304_that_was_not_asked_for_makes_no_sense(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", None, 304)
    assert (await miss(declare(PLAIN))).code == "nonsense"


async def test_no_more_entity_tags_are_kept_than_there_is_room_for(
    remote: Remote, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.services.http._SEEN_MOST", 2)
    service = declare(PLAIN)
    for name in ("1", "2", "3"):
        remote.say(f"GET /jobs/{name}", {"status": "running"}, ETag='"a"')
        await reading(service, name)
    assert list(service._seen) == ["2", "3"]


async def test_without_a_state_the_status_code_says_it(remote: Remote, declare: Declare) -> None:
    """202 with Location and Retry-After, as large clouds have it."""
    url = f"{remote.url}/v1/ops/7?api=1"
    remote.say("POST /v1/jobs", None, 202, Location=url, Retry_After="1")
    remote.say("GET /v1/ops/7?api=1", None, 202, Retry_After="4")
    remote.say("GET /v1/ops/7?api=1", {"made": 1}, 200)
    service = declare(NO_STATE, base="/v1")
    started = await service.start(Order(JOB, {}))
    assert started == Started("ops/7?api=1", Reading(State.RUNNING, again=1_000))
    assert await look(service, "ops/7?api=1") == Reading(State.RUNNING, again=4_000)
    assert await look(service, "ops/7?api=1") == Reading(State.SUCCEEDED, result={"made": 1})


async def test_nothing_at_all_is_an_end_too(remote: Remote, declare: Declare) -> None:
    remote.say("GET /ops/7", None, 204)
    assert await look(declare(NO_STATE), "ops/7") == Reading(State.SUCCEEDED)


async def test_a_redirect_to_what_was_made_is_an_end(remote: Remote, declare: Declare) -> None:
    remote.say("GET /ops/7", None, 303, Location="/made/7")
    remote.say("GET /made/7", {"track": 1})
    service = declare(NO_STATE)
    assert await look(service, "ops/7") == Reading(State.SUCCEEDED, result={"track": 1})


@pytest.mark.parametrize(
    "place", ["https://elsewhere.example/made/7", "//elsewhere.example/x", "/v2/made", "../../made", "/v1/%2e%2e/made"]
)
async def test_a_redirect_to_elsewhere_is_an_end_and_not_followed(remote: Remote, declare: Declare, place: str) -> None:
    remote.say("GET /v1/ops/7", None, 303, Location=place)
    assert await look(declare(NO_STATE, base="/v1"), "ops/7") == Reading(State.SUCCEEDED)
    assert remote.calls == ["GET /v1/ops/7"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/v1/ops/7",
        "https://127.0.0.1/v1/ops/7",
        "//elsewhere.example/v1/ops/7",
        "http://user:word@{host}/v1/ops/7",
        "http://{host}/v2/ops/7",
        "http://{host}/v1/../admin",
        "http://{host}/v1/%2e%2e/admin",
        "http://{host}/v1/a%2f..%2fadmin",
        "http://{host}/v1/..;/admin",
        "http://{host}/v10/x",
        "http://{host}//v1/x",
        "file:///etc/passwd",
        "/v1/" + "x" * 300,
        "http://{host}:x/v1",
        "",
    ],
)
async def test_a_name_that_points_elsewhere_is_never_called(remote: Remote, declare: Declare, location: str) -> None:
    host = remote.url.removeprefix("http://")
    remote.say("POST /v1/jobs", None, 202, Location=location.replace("{host}", host))
    answer = await declare(NO_STATE, base="/v1").start(Order(JOB, {}))
    assert isinstance(answer, Miss), answer
    assert answer.code == "nonsense"
    assert remote.calls == ["POST /v1/jobs"]


@pytest.mark.parametrize(
    ("location", "name"), [("/v1/ops/7", "ops/7"), ("ops/7", "ops/7"), ("/v1/ops/a%20b?c=%2F", "ops/a%20b?c=%2F")]
)
async def test_a_location_may_be_relative(remote: Remote, declare: Declare, location: str, name: str) -> None:
    remote.say("POST /v1/jobs", None, 202, Location=location)
    remote.say(f"GET /v1/{name}", {"a": 1})
    service = declare(NO_STATE, base="/v1")
    started = await service.start(Order(JOB, {}))
    assert isinstance(started, Started), started
    assert started.remote == name
    assert (await reading(service, name)).state is State.SUCCEEDED


@pytest.mark.parametrize(
    "name", ["..", ".", "../admin", "a/../b", "..;x", "%2e%2e", "a\r\nX: y", "a b", "é", "?a", "#"]
)
async def test_a_hostile_name_never_leaves_the_path_it_stands_in(remote: Remote, declare: Declare, name: str) -> None:
    await look(declare(PLAIN), name)
    for asked in remote.asked:
        assert asked.path.startswith("/jobs/")
        assert "/" not in asked.path.removeprefix("/jobs/")
        assert asked.path not in ("/jobs/", "/jobs/.", "/jobs/..")
    await look(declare(NO_STATE, base="/v1"), name)
    assert all(asked.path.startswith(("/v1/", "/jobs/")) and "X" not in asked.headers for asked in remote.asked)


BATCH: dict[str, Any] = {
    **PLAIN,
    "status": None,
    "batch": {"call": "POST /jobs/status", "json": "{ids: remotes}", "each": "jobs", "size": 2},
}


async def test_many_are_looked_at_with_one_call(remote: Remote, declare: Declare) -> None:
    service = declare(BATCH)
    assert service.batch == 2
    jobs = [{"id": 2, "status": "COMPLETED"}, {"id": "1", "status": "queued"}, {"id": "9"}]
    remote.say("POST /jobs/status", {"jobs": jobs}, Retry_After="2")
    remote.say("POST /jobs/status", {"jobs": [None, "x"]})
    looks = await service.poll(["1", "2", "3"])
    assert looks[:2] == [Reading(State.PENDING, again=2_000), Reading(State.SUCCEEDED, again=2_000)]
    assert isinstance(looks[2], Miss)
    assert looks[2].code == "vanished"
    assert [asked.json for asked in remote.asked] == [{"ids": ["1", "2"]}, {"ids": ["3"]}]


@pytest.mark.parametrize("body", [{}, [], {"jobs": {}}, {"jobs": None}, None])
async def test_a_batch_without_its_list_makes_no_sense(remote: Remote, declare: Declare, body: object) -> None:
    remote.say("POST /jobs/status", body, text=b"7")
    assert [each.code for each in await declare(BATCH).poll(["1", "2"]) if isinstance(each, Miss)] == ["nonsense"] * 2


async def test_a_batch_of_a_whole_worlds_jobs_is_not_gone_through(remote: Remote, declare: Declare) -> None:
    """Half a million of them fit into an answer, and would keep a worker from all else for seconds."""
    remote.say("POST /jobs/status", {"jobs": [{"id": "1", "status": "queued"}] + [0] * 20_000})
    answer = await miss(declare(BATCH), "1")
    assert answer.code == "nonsense"


async def test_a_batch_that_is_not_known_makes_no_job_vanish(declare: Declare) -> None:
    assert [each.code for each in await declare(BATCH).poll(["1", "2"]) if isinstance(each, Miss)] == ["refused"] * 2


async def test_a_batch_may_be_a_list_by_get(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs?ids=1,2", [{"id": 1, "status": "queued"}, {"id": 2, "status": "queued"}])
    service = declare(BATCH, batch={"call": "GET /jobs?ids={remotes}", "each": "@"})
    assert await service.poll(["1", "2"]) == [Reading(State.PENDING)] * 2


async def test_without_a_batch_they_are_asked_side_by_side(remote: Remote, declare: Declare) -> None:
    names = [str(number) for number in range(20)]
    for name in names:
        remote.say(f"GET /jobs/{name}", {"id": name, "status": "running", "percent": int(name)})
    looks = await declare(PLAIN, connections=3).poll(names)
    assert [look.percent for look in looks if isinstance(look, Reading)] == [float(name) for name in names]


async def test_a_cancel_is_told_and_answered(remote: Remote, declare: Declare) -> None:
    remote.say("DELETE /jobs/17", {"id": "17", "status": "stopped"})
    assert await declare(PLAIN).cancel("17") == Reading(State.CANCELLED)
    assert remote.calls == ["DELETE /jobs/17"]


@pytest.mark.parametrize(("status", "text"), [(204, b""), (202, b"OK"), (200, b'{"deleted": true}')])
async def test_after_a_cancel_that_says_nothing_the_job_is_looked_at(
    remote: Remote, declare: Declare, status: int, text: bytes
) -> None:
    remote.say("DELETE /jobs/17", None, status, text=text)
    remote.say("GET /jobs/17", {"status": "stopped"})
    assert await declare(PLAIN).cancel("17") == Reading(State.CANCELLED)


async def test_a_cancel_that_was_heard_and_put_the_job_away_is_one(remote: Remote, declare: Declare) -> None:
    remote.say("DELETE /jobs/17", None, 204)
    assert await declare(PLAIN).cancel("17") == Reading(State.CANCELLED)
    assert remote.calls == ["DELETE /jobs/17", "GET /jobs/17"]


async def test_a_cancel_of_what_is_not_known_is_no_cancel(remote: Remote, declare: Declare) -> None:
    look = await declare(PLAIN).cancel("17")
    assert isinstance(look, Miss)
    assert look.code == "vanished"


async def test_a_cancel_that_is_refused_because_it_is_over_is_seen(remote: Remote, declare: Declare) -> None:
    remote.say("DELETE /jobs/17", None, 409)
    remote.say("GET /jobs/17", {"status": "COMPLETED", "output": 7})
    remote.say("GET /jobs/17", {"status": "running"})
    service = declare(PLAIN)
    assert await service.cancel("17") == Reading(State.SUCCEEDED, result=7)
    refused = await service.cancel("17")
    assert isinstance(refused, Miss)
    assert refused.code == "refused"


async def test_without_a_cancel_it_is_said_that_it_goes_on(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "running", "percent": 3})
    remote.say("GET /jobs/17", {"status": "COMPLETED"})
    service = declare(PLAIN, cancel=None)
    look = await service.cancel("17")
    assert isinstance(look, Reading)
    assert (look.state, look.percent) == (State.RUNNING, 3.0)
    assert "cannot be told" in look.message
    assert await service.cancel("17") == Reading(State.SUCCEEDED)


async def test_a_job_is_found_by_our_id(remote: Remote, declare: Declare) -> None:
    remote.say(f"GET /jobs?key={JOB}", {"jobs": [{"id": 17}]})
    remote.say(f"GET /jobs?key={JOB}", {"jobs": []})
    remote.say(f"GET /jobs?key={JOB}", None, 404)
    remote.say(f"GET /jobs?key={JOB}", {"jobs": [{}]})
    remote.say(f"GET /jobs?key={JOB}", None, 503)
    service = declare(PLAIN)
    assert await service.find(JOB) == "17"
    assert await service.find(JOB) is None
    assert await service.find(JOB) is None
    for code in ("nonsense", "unreachable"):
        answer = await service.find(JOB)
        assert isinstance(answer, Miss)
        assert answer.code == code


async def test_a_result_of_its_own_is_fetched_at_the_end(remote: Remote, declare: Declare) -> None:
    fields = {key: value for key, value in PLAIN["reading"].items() if key != "result"}
    options = {**PLAIN, "reading": fields, "result": {"call": "GET /jobs/{remote}/results", "at": "value"}}
    remote.say("POST /jobs", {"id": "17", "status": "COMPLETED"})
    remote.say("GET /jobs/17", {"status": "running"})
    remote.say("GET /jobs/17", {"status": "COMPLETED"})
    remote.say("GET /jobs/17/results", None, 503)
    remote.say("GET /jobs/17/results", {"value": [1, 2]})
    service = declare(options)
    started = await service.start(Order(JOB, {}))
    assert isinstance(started, Started)
    assert started.reading.state is State.RUNNING  # what came of it is yet to be fetched
    assert (await reading(service)).state is State.RUNNING
    assert (await miss(service)).code == "unreachable"
    assert await look(service) == Reading(State.SUCCEEDED, result=[1, 2])


@pytest.mark.parametrize("status", [200, 204])
async def test_a_result_may_be_nothing(remote: Remote, declare: Declare, status: int) -> None:
    fields = {"remote": "id", "state": "status"}
    remote.say("GET /jobs/17", {"status": "COMPLETED"})
    remote.say("GET /jobs/17/results", None, status)
    result = {"call": "GET /jobs/{remote}/results", "at": "value"}
    assert await look(declare(PLAIN, reading=fields, result=result)) == Reading(State.SUCCEEDED)


async def test_the_query_of_a_name_stays_at_the_end(remote: Remote, declare: Declare) -> None:
    """Else what is asked for is the job again, and that is taken for its result."""
    remote.say("GET /ops/7?api=1", {"status": "COMPLETED"})
    remote.say("GET /ops/7/results?f=json&api=1", [7])
    start = {"call": "POST /jobs", "location": "Location"}
    result = {"call": "GET /{+remote}/results?f=json"}
    status = {"call": "GET /{+remote}"}
    service = declare(PLAIN, start=start, status=status, reading={"state": "status"}, result=result, find=None)
    assert await look(service, "ops/7?api=1") == Reading(State.SUCCEEDED, result=[7])


FILE = {
    **PLAIN,
    "file": {"call": "GET /jobs/{remote}/file"},
    "reading": {**PLAIN["reading"], "file": "media"},
}


@pytest.mark.parametrize(
    ("media", "kept"),
    [
        ("audio/wav", "audio/wav"),
        (None, None),
        ("", None),
        (False, None),
        (True, "application/octet-stream"),
        ("https://x/y.png", "application/octet-stream"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ({"url": "x"}, "application/octet-stream"),
    ],
)
async def test_there_is_a_file_or_not(remote: Remote, declare: Declare, media: object, kept: str | None) -> None:
    remote.say("GET /jobs/17", {"status": "COMPLETED", "media": media})
    assert (await reading(declare(FILE))).file == kept


async def test_only_what_has_succeeded_has_a_result_and_a_file(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"status": "running", "output": 7, "media": "audio/wav"})
    remote.say("GET /jobs/17", {"status": "broken", "output": 7, "media": "audio/wav"})
    service = declare(FILE)
    assert await look(service) == Reading(State.RUNNING)
    assert await look(service) == Reading(State.FAILED)


async def test_a_file_is_streamed_through(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17/file", None, 206, text=b"abc", ETag='"e"')
    opened = await declare(FILE).open("17", {"Range": "bytes=0-2"})
    assert isinstance(opened, File)
    assert (opened.status, opened.headers["ETag"]) == (206, '"e"')
    assert b"".join([chunk async for chunk in opened.body]) == b"abc"
    assert remote.asked[0].headers["Range"] == "bytes=0-2"


async def test_a_file_that_is_elsewhere_is_not_gone_for(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17/file", None, 302, Location="https://store.example/x?sig=1%2F2")
    closed = await declare(FILE).open("17", {})
    assert isinstance(closed, Miss)
    assert closed.code == "nonsense"
    redirect = {"call": "GET /jobs/{remote}/file", "redirect": True}
    assert await declare(FILE, file=redirect).open("17", {}) == Elsewhere("https://store.example/x?sig=1%2F2")


@pytest.mark.parametrize(
    "url",
    ["http://store.example/x", "javascript:alert(1)", "ftp://x/y", "https://a:b@x/y", "", "https://x/\u2028", 7, None],
)
async def test_browsers_are_sent_to_no_place_that_cannot_be(remote: Remote, declare: Declare, url: object) -> None:
    remote.say("GET /jobs/17", {"output": url})
    service = declare(FILE, file={"call": "GET /jobs/{remote}", "redirect": "output"})
    opened = await service.open("17", {})
    assert isinstance(opened, Miss), opened


async def test_where_a_file_is_may_be_read(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/17", {"output": ["https://store.example/x"]})
    service = declare(FILE, file={"call": "GET /jobs/{remote}", "redirect": "output[0]"})
    assert await service.open("17", {}) == Elsewhere("https://store.example/x")


async def test_a_form_is_sent_as_one(remote: Remote, declare: Declare) -> None:
    remote.say("POST /schedule.json", {"id": "17", "status": "queued"})
    start = {"call": "POST /schedule.json", "form": "merge({jobid: job, project: 'p'}, params)"}
    service = declare(PLAIN, start=start)
    assert not service.starts_once
    assert isinstance(await service.start(Order(JOB, {"spider": "a b", "x": ["1", 2], "no": None})), Started)
    (asked,) = remote.asked
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.body == f"jobid={JOB}&project=p&spider=a+b&x=1&x=2".encode()
    with pytest.raises(InvalidParams, match="'deep'"):
        service.clean({"deep": {}})


async def test_headers_lie_over_each_other_whatever_their_case(remote: Remote, declare: Declare) -> None:
    remote.say("POST /jobs", {"id": "17"})
    start = {**PLAIN["start"], "headers": {"x-Who": "start", "content-type": "application/vnd.api+json"}}
    service = declare(FILE, start=start, headers={"ACCEPT": "application/hal+json", "X-Who": "all"})
    await service.start(Order(JOB, {}))
    await look(service)
    await service.open("17", {})
    names = ("Accept", "X-Who", "Content-Type")
    sent = [[[v for k, v in asked.raw if k.lower() == name.lower()] for name in names] for asked in remote.asked]
    assert sent == [
        [["application/hal+json"], ["start"], ["application/vnd.api+json"]],
        [["application/hal+json"], ["all"], []],
        [["application/hal+json"], ["all"], []],
    ]


async def test_a_file_is_asked_for_as_what_it_is(remote: Remote, declare: Declare) -> None:
    service = declare(FILE)
    await look(service)
    await service.open("17", {})
    assert [asked.headers["Accept"] for asked in remote.asked] == ["application/json", "*/*"]


async def test_a_path_has_parameters(remote: Remote, declare: Declare) -> None:
    remote.say("PUT /things/a%2Fb/jobs/" + JOB, {"id": "17", "status": "queued"}, 201)
    service = declare(PLAIN, start={"call": "PUT /things/{params.thing}/jobs/{job}", "json": "params"})
    assert service.starts_once
    params = service.clean({"thing": "a/b"})
    assert isinstance(await service.start(Order(JOB, params)), Started)
    nothing: list[object] = [None, "", [], {}, ".."]
    for thing in nothing:
        with pytest.raises(InvalidParams, match="'thing'"):
            service.clean({"thing": thing})


async def test_credentials_are_shown_nowhere(
    remote: Remote, declare: Declare, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RENDER_TOKEN", "s3cret-s3cret")
    service = declare(PLAIN, headers={"Authorization": "Bearer ${RENDER_TOKEN}"})
    echo = "You sent Bearer s3cret-s3cret"
    remote.say("POST /jobs", {"status": "broken", "error": {"message": echo}})
    remote.say("GET /jobs/17", {"status": echo, "note": echo, "name": echo})
    remote.say("GET /jobs/17", {"status": "COMPLETED", "output": {"sent": echo}})
    shown = [repr(service), *(repr(value) for value in vars(service).values())]
    shown += [repr(await service.start(Order(JOB, {}))), repr(await look(service)), repr(await look(service))]
    shown += [record.getMessage() for record in caplog.records]
    assert not [each for each in shown if "s3cret" in each]
    assert sum("You sent" in each for each in shown) == 4
    assert {asked.headers["Authorization"] for asked in remote.asked} == {"Bearer s3cret-s3cret"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("Authorization", "Bearer s3cret-s3cret"), ("x-api-key", "s3cret-s3cret"), ("Cookie", "a; s3cret-s3cret")],
)
async def test_a_credential_that_is_not_from_the_environment_is_none_the_less(
    remote: Remote, declare: Declare, name: str, value: str
) -> None:
    """Many write f"Bearer {os.environ['TOKEN']}", or read it from a file."""
    remote.say("GET /jobs/17", {"status": "broken", "note": "Bearer s3cret-s3cret application/json"})
    service = declare(PLAIN, headers={name: value, "Accept": "application/json"})
    assert (await reading(service)).message == "Bearer *** application/json"


async def test_what_has_no_answer_in_time_costs_the_others_nothing(remote: Remote, declare: Declare) -> None:
    remote.say("GET /jobs/1", {"status": "running"})
    remote.say("GET /jobs/2", HANG)
    remote.say("GET /jobs/3", {"status": "queued"})
    looks = await declare(PLAIN, timeout=1_500, connections=2).poll(["2", "1", "2", "3", "2", "2"])
    assert [look for look in looks if isinstance(look, Reading)] == [Reading(State.RUNNING)]
    assert {look.code for look in looks if isinstance(look, Miss)} == {"unreachable"}


async def test_a_result_that_hangs_costs_the_others_nothing(remote: Remote, declare: Declare) -> None:
    fields = {"remote": "id", "state": "status"}
    options = {**BATCH, "reading": fields, "result": {"call": "GET /jobs/{remote}/results"}}
    options["batch"] = {**BATCH["batch"], "size": 9}
    remote.say(
        "POST /jobs/status", {"jobs": [{"id": n, "status": "COMPLETED"} for n in (1, 2)] + [{"id": 3, "status": 0}]}
    )
    remote.say("GET /jobs/1/results", HANG)
    remote.say("GET /jobs/2/results", 7)
    looks = await declare(options, timeout=1_500).poll(["1", "2", "3"])
    assert isinstance(looks[0], Miss)
    assert looks[0].code == "unreachable"
    assert looks[1:] == [Reading(State.SUCCEEDED, result=7), Reading(State.RUNNING)]


async def test_a_start_may_answer_with_a_redirect_to_the_job(remote: Remote, declare: Declare) -> None:
    remote.say("POST /jobs", None, 303, text=b"<a>", Location="/jobs/7")
    start = {"call": "POST /jobs", "json": "params", "location": "Location", "expect": [303]}
    started = await declare(NO_STATE, start=start).start(Order(JOB, {}))
    assert isinstance(started, Started)
    assert started.remote == "jobs/7"
