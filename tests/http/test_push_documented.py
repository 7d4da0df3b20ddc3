"""`docs/reference/push.md`: its requests, its settings and its example work."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from progrock import conf, jobs, push
from progrock.protocol import State
from tests.conftest import until
from tests.documents import ROOT, code
from tests.http.conftest import Caller

pytestmark = pytest.mark.usefixtures("engine")
PAGE = "reference/push.md"
ME = "user:7"


async def test_its_requests_are_answered_as_it_says(caller: Caller) -> None:
    text = (ROOT / "docs" / PAGE).read_text()
    asks = re.findall(r"^```http ask\n(.*?)^```.*?^```http answer\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(asks) == 2
    known = {"to create": push.token_to_create(ME)}

    def filled(text: str) -> str:
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    for ask, answer in asks:
        head, _, body = filled(ask).partition("\n\n")
        path, *headers = head.splitlines()
        (bearer,) = [line.partition(": ")[2] for line in headers if line.startswith("Authorization")]
        response: Any = await caller.post(path.removeprefix("POST "), body, authorization=bearer)
        if response.status_code == 201:
            known |= {"job": response.json()["job"], "token": response.json()["token"]}
        head, _, body = filled(answer).partition("\n\n")
        status, *headers = head.splitlines()
        assert str(response.status_code) == status.partition(" ")[0]
        assert response.json() == json.loads(body)
        for line in headers:
            name, _, value = line.partition(": ")
            assert response[name] == value


async def test_its_example_is_a_job() -> None:
    scope: dict[str, Any] = {"user": ME, "rows": ["a", "", "b"]}
    await sync_to_async(exec, thread_sensitive=False)(code(PAGE, "track"), scope)
    job = scope["job"].id

    async def over() -> bool:
        return (await jobs.aget(job, owner=ME)).complete

    await until(over)
    assert (await jobs.aget(job, owner=ME)).state is State.SUCCEEDED
    assert [line.text for line in await jobs.ajournal(job, owner=ME)] == ["an empty row is skipped"]


def test_its_settings_are_those_that_are_built_in() -> None:
    scope: dict[str, Any] = {}
    exec(code(PAGE, "settings"), scope)
    declared, built_in = conf.parse(scope["PROGROCK"]).services["track"], conf.BUILT_IN["track"]
    assert (declared.backend, declared.policy) == (built_in.backend, built_in.policy)


def test_every_word_of_a_job_is_listed() -> None:
    text = (ROOT / "docs" / PAGE).read_text()
    for name in (*(each for each in vars(push.Tracked) if not each.startswith("_")), *push.__all__):
        inner = name in ("over", "pressing", "tell", "job_of_token", "owner_of_token", "Pushed", "Tracked", "track")
        assert inner or re.search(rf"`(a|job\.)?{name}\b", text) or re.search(rf", `{name}\(", text), name
