"""Programs that are not ours do a job, and report on it with a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import signing

from progrock import jobs, push
from progrock.protocol import State
from tests.conftest import until
from tests.http.conftest import Caller, said

pytestmark = pytest.mark.usefixtures("engine")
ME = "user:7"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_program_creates_a_job_and_does_it(caller: Caller) -> None:
    response = await caller.post("tracked/", {"title": "Import", "key": "k"}, **bearer(push.token_to_create(ME)))
    assert response.status_code == 201
    made = said(response, 201)
    assert response["Location"] == f"/prog/jobs/{made['job']}/"
    path = made["report"].removeprefix("/prog/")
    headers = bearer(made["token"])
    report = {"done": 1, "total": 4, "lines": [{"text": "row 1", "level": "warning"}, {"data": {"row": 1}}]}
    assert said(await caller.post(path, report, **headers)) == {"cancelled": False, "over": False}

    async def a_quarter() -> bool:
        return (await jobs.aget(made["job"], owner=ME)).percent == 25

    await until(a_quarter)
    assert said(await caller.post(path, **headers)) == {"cancelled": False, "over": False}
    await jobs.acancel(made["job"], owner=ME)

    async def asked() -> bool:
        return bool(said(await caller.post(path, **headers))["cancelled"])

    await until(asked)
    end = {"state": "succeeded", "message": "All rows.", "result": {"rows": 4}}
    await caller.post(path, end, **headers)

    async def over() -> bool:
        return (await jobs.aget(made["job"], owner=ME)).complete

    await until(over)
    ended = await jobs.aget(made["job"], owner=ME)
    assert (ended.state, ended.result) == (State.SUCCEEDED, {"rows": 4})
    lines = await jobs.ajournal(made["job"], owner=ME)
    assert [(each.level, each.text, each.data) for each in lines] == [
        ("warning", "row 1", None),
        ("info", "", {"row": 1}),
    ]
    assert said(await caller.post(path, {"percent": 1}, **headers))["over"]


async def test_only_the_token_of_this_job_counts(caller: Caller) -> None:
    job = (await push.acreate("Import", owner=ME)).job
    other = (await push.acreate("Another", owner=ME)).job
    for given in (
        {},
        bearer(""),
        bearer("x"),
        bearer(push.token_for(other)),
        bearer(push.token_to_create(ME)),
        bearer(signing.dumps(job)),
        {"authorization": f"Basic {push.token_for(job)}"},
    ):
        response = await caller.post(f"jobs/{job}/report", {"percent": 50}, **given)
        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
        assert said(response, 401)["code"] == "bad_token"
    response = await caller.post("tracked/", {"title": "Import"}, **bearer(push.token_for(job)))
    assert response.status_code == 401


async def test_a_token_is_good_for_thirty_days(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    job = (await push.acreate("Import", owner=ME)).job
    headers = bearer(push.token_for(job))
    assert (await caller.post(f"jobs/{job}/report", {}, **headers)).status_code == 200
    monkeypatch.setattr("progrock.push.token.AGE", -1)
    assert (await caller.post(f"jobs/{job}/report", {}, **headers)).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"done": "many"}, 400, "Expected `float | null`, got `str` - at `$.done`"),
        ({"percent": 101}, 400, "Expected `float` <= 100.0 - at `$.percent`"),
        ({"pct": 1}, 400, "unknown field `pct`"),
        ({"lines": [{"level": "loud"}]}, 400, "Invalid enum value 'loud' - at `$.lines[0].level`"),
        ({"lines": [{}] * 201}, 400, "length <= 200"),
        ({"lines": [{"data": "x" * 5_000}]}, 400, "data: expected at most 4096 bytes"),
        ({"result": {"rows": 4}}, 400, "result: expected the state 'succeeded' beside it, got none."),
        ({"state": "failed", "result": 4}, 400, "result: expected the state 'succeeded' beside it"),
        ({"state": "succeeded", "result": "a\0b"}, 400, "result: expected JSON that any database keeps"),
        ({"state": "running"}, 400, "Invalid enum value 'running'"),
        ("[]", 400, "Expected a JSON object"),
        ("{", 400, "Expected a JSON object"),
        ("x" * 70_000, 413, "at most 65536 bytes"),
    ],
)
async def test_what_cannot_be_read_is_refused(caller: Caller, body: Any, status: int, says: str) -> None:
    job = (await push.acreate("Import", owner=ME)).job
    response = await caller.post(f"jobs/{job}/report", body, **bearer(push.token_for(job)))
    assert response.status_code == status
    assert says in said(response, status)["detail"]


async def test_creating_is_bounded(caller: Caller, limit: Callable[..., None]) -> None:
    limit(max_starts_per_minute=2)
    await push.acreate("own code of this side may", owner=ME)
    headers = bearer(push.token_to_create(ME))
    answers = [(await caller.post("tracked/", {"title": "Import"}, **headers)).status_code for _ in range(2)]
    assert answers == [201, 429]
    await push.acreate("as often as it likes", owner=ME)
    assert (await caller.post("tracked/", {"title": ""}, **bearer(push.token_to_create("you")))).status_code == 400
