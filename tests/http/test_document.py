"""docs/reference/http.md: its requests are answered as it says, and its table is the code's."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from progrock.http import openapi, problem
from progrock.testing import Reading, Remote, State
from tests.documents import ROOT
from tests.http.conftest import Caller

PAGE = (ROOT / "docs/reference/http.md").read_text()
ANY = "…"


def blocks() -> list[tuple[str, str]]:
    """Return the requests of the page, each with its answer."""
    asked = re.findall(r"^```http ask\n(.*?)^```\n+```http answer\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(asked) == PAGE.count("```http ask") > 8
    return asked


def parted(block: str) -> tuple[str, dict[str, str], str]:
    """Return the first line of a block, its headers, and its body."""
    head, _, body = block.strip().partition("\n\n")
    first, *lines = head.split("\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def assert_like(expected: Any, got: Any) -> None:
    """See that all that is expected is there; more may be."""
    if expected == ANY:
        assert got is not None
    elif isinstance(expected, dict):
        assert expected.keys() <= got.keys()
        for key, value in expected.items():
            assert_like(value, got[key])
    elif isinstance(expected, list):
        assert len(expected) == len(got)
        for one, other in zip(expected, got, strict=True):
            assert_like(one, other)
    else:
        assert expected == got


@pytest.mark.usefixtures("engine")
async def test_requests_are_answered_as_the_page_says(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.RUNNING, 10), Reading(State.RUNNING, 50), Reading(State.SUCCEEDED, result={"notes": 9}))
    job = "{job}"
    for ask, answer in blocks():
        line, headers, body = parted(ask.replace("{job}", job))
        method, path = line.split(" ")
        given = {name.lower().replace("-", "_"): value for name, value in headers.items()}
        response = await (caller.post(path, body or None, **given) if method == "POST" else caller.get(path, **given))
        if job == "{job}":
            job = json.loads(response.content)["job"]
        line, headers, body = parted(answer.replace("{job}", job))
        assert f"{response.status_code} {response.reason_phrase}" == line, ask
        for name, value in headers.items():
            assert value in (ANY, response.headers[name])
        if body:
            assert_like(json.loads(body), json.loads(response.content))
        elif response.streaming:
            response.close()


def test_every_code_is_listed_with_its_status() -> None:
    listed = {code: int(status) for status, code in re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)}
    assert listed == problem.STATUS


def test_every_route_is_told() -> None:
    for path in openapi.ROUTES:
        assert path.strip("/").replace("{job}", "<id>").replace("{token}", "<token>") in PAGE
