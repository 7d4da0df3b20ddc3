"""Whatever a reply holds, reading it and calling below its names does no harm."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrock.expression import Expression, Senseless
from progrock.protocol import Line, Snapshot, State
from progrock.services.answers import sane
from progrock.services.api import STATES
from progrock.services.reading import Reader
from progrock.services.template import Template
from progrock.step import Miss, Policy, Reading, Run, decide

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["running", "succeeded"])
)
JSON = st.recursive(
    SCALARS,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=12,
)
FIELDS = ("id", "state", "percent", "done", "total", "message", "title", "result", "error", "file", "again", "log")
READER = Reader(
    {
        "remote": Expression("id || name"),
        "state": Expression("state"),
        "done": Expression("done"),
        "total": Expression("total"),
        "message": Expression("join(', ', message) || message.text"),
        "title": Expression("title[0]"),
        "result": Expression("sort_by(result, &id) || result"),
        "error": Expression("error.message || error"),
        "file": Expression("file"),
        "again": Expression("abs(again)"),
        "lines": Expression("log"),
    },
    STATES,
)


@given(JSON | st.fixed_dictionaries(dict.fromkeys(FIELDS, JSON)))
def test_any_json_is_a_reading_or_a_miss(job: object) -> None:
    look = READER.read(job, None)
    assert isinstance(look, Reading | Miss)
    assert isinstance(sane(look), Reading | Miss)
    if isinstance(look, Reading):
        assert look.again is None or 0 <= look.again <= 86_400_000
        decided = decide(Run("me", Snapshot("j", "s", "t", State.RUNNING, created=0), "r"), look, Policy(), 1, 0.5)
        assert [line.n for line in decided.lines] == list(range(1, len(look.lines) + 1))
        assert msgspec.json.decode(msgspec.json.encode(decided.lines)) is not None
        assert look.percent is None or isinstance(look.percent, float)
    name = READER.name(job)
    assert name is None or name


@given(JSON)
def test_any_word_is_a_state(word: object) -> None:
    state = Reader({"state": Expression("@")}, STATES).read(word, None)
    assert isinstance(state, Miss) or state.state is STATES.get(str(word), State.RUNNING)


@pytest.mark.parametrize("text", ["GET /jobs/{remote}", "GET /a{/remote}/b", "GET /jobs{?remote}", "GET /{+remote}"])
@given(
    remote=st.text(min_size=1, max_size=200)
    | st.text("./\\%2eEfF5cC;?#@:\r\n", min_size=1, max_size=20)
    | st.sampled_from(["..", "%2e%2e/x", "..;/x", "a/../../b", "//x", "\\\\x", "http://x/y", "a%2f..%2fb"])
)
def test_any_name_stays_below_the_base(text: str, remote: str) -> None:
    path = Template(text, frozenset({"remote"})).path({"remote": remote})
    if path is None:
        return
    assert re.fullmatch(r"/[!-~]*", path)
    assert not path.startswith("//")
    assert not set(path) & set("\\#")
    segments = re.split(r"[/\\]", unquote(path.partition("?")[0]))
    assert not [each for each in segments if each.partition(";")[0] in (".", "..")]
    if text == "GET /jobs/{remote}":
        assert path.count("/") == 2
        assert "?" not in path


@given(JSON)
def test_an_expression_answers_or_says_that_it_cannot(value: Any) -> None:
    for text in ("length(@)", "a.b[0].c", "[?a < b]", "max_by(@, &a)", "to_number(a) || sum(b)", "*.a | [0]", "a <= b"):
        try:
            answer = Expression(text)(value)
        except Senseless:
            continue
        msgspec.to_builtins(answer)


def test_lines_are_text_or_objects_with_text_level_and_data() -> None:
    log = ["one", {"text": "two", "level": "WARNING"}, {"text": "three", "data": [1]}, {"page": 4}, None, 7]
    look = READER.read({"state": "running", "log": log}, None)
    assert isinstance(look, Reading)
    assert look.lines == [
        "one",
        Line("two", "warning"),
        Line("three", "info", [1]),
        Line("", "info", {"page": 4}),
        "",
        "7",
    ]
