"""Wire protocol v1: the document's own examples, and everything that is not one of them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrock.exceptions import BadFrame, Invalid, Refused, UnknownAction
from progrock.protocol import (
    ACTIONS,
    Line,
    Resume,
    Snapshot,
    Start,
    State,
    answer_frame,
    encode,
    error_frame,
    event_frame,
    hello_frame,
    jobs_frame,
    parse,
    pong_frame,
    ref_of,
    subscribed_frame,
    update_frame,
    with_lines,
)
from tests.documents import examples

PAGE = "reference/protocol.md"
CLIENT, SERVER = examples(PAGE, "client"), examples(PAGE, "server")


def test_the_document_has_examples_of_everything() -> None:
    assert {name for name, _ in CLIENT} == set(ACTIONS)
    assert {name for name, _ in SERVER} == {
        "hello",
        "update",
        "updates",
        "snapshot",
        "jobs",
        "subscribed",
        "event",
        "error",
        "pong",
    }


@pytest.mark.parametrize(("name", "text"), CLIENT)
def test_every_client_example_is_understood(name: str, text: str) -> None:
    action = parse(text)
    assert action.__struct_config__.tag == name
    for key, value in json.loads(text).items():
        if key != "action":
            assert str(getattr(action, key)) == str(value)


def _lines(frame: dict[str, Any]) -> list[Line] | None:
    return msgspec.convert(frame.get("journal"), list[Line] | None)


def _body(frame: dict[str, Any]) -> bytes:
    return with_lines(encode(msgspec.convert(frame, Snapshot)), _lines(frame) or [])


def _about(frame: dict[str, Any]) -> dict[str, str]:
    return {key: frame[key] for key in ("job", "channel") if key in frame}


def _answer(frame: dict[str, Any]) -> str:
    resume = Resume(frame["resume"]) if "resume" in frame else None
    snapshot = msgspec.convert(frame, Snapshot)
    return answer_frame(frame["type"], snapshot, frame["now"], frame.get("ref"), resume, _lines(frame))


@pytest.mark.parametrize(("name", "text"), SERVER)
def test_every_server_example_is_what_we_send(name: str, text: str) -> None:
    frame = json.loads(text)
    ref = frame.get("ref")
    sent = {
        "hello": lambda: hello_frame(),
        "update": lambda: update_frame([_body(frame)]),
        "updates": lambda: update_frame([_body(each) for each in frame["updates"]]),
        "accepted": lambda: _answer(frame),
        "snapshot": lambda: _answer(frame),
        "jobs": lambda: jobs_frame([], frame["now"], ref),
        "error": lambda: error_frame(frame["code"], frame["message"], ref, **_about(frame)),
        "pong": lambda: pong_frame(ref),
        "subscribed": lambda: subscribed_frame(frame["channel"], ref),
        "event": lambda: event_frame(
            frame["channel"], frame["event"], msgspec.Raw(msgspec.json.encode(frame["data"]))
        ).decode(),
    }[name]()
    assert json.loads(sent) == frame


def test_an_answer_carries_its_ref_and_the_snapshot_whole() -> None:
    snapshot = Snapshot("j", "s", "t", State.RUNNING, created=1, percent=12.5)
    frame = json.loads(answer_frame("accepted", snapshot, 5, 'a"1'))
    assert (frame.pop("type"), frame.pop("ref"), frame.pop("now")) == ("accepted", 'a"1', 5)
    assert msgspec.convert(frame, Snapshot) == snapshot


def test_unknown_keys_are_ignored() -> None:
    assert parse('{"action": "start", "colour": "blue"}') == Start()


def test_a_bare_start_says_nothing_else() -> None:
    assert parse('{"action": "start", "ref": "x"}').bare  # type: ignore[union-attr]
    for more in ('"service": "s"', '"key": "k"', '"params": {"a": 1}'):
        assert not parse(f'{{"action": "start", {more}}}').bare  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", BadFrame, "no JSON"),
        ("hello", BadFrame, "no JSON"),
        ('{"action": "start"', BadFrame, "no JSON"),
        ("[1]", BadFrame, "got a list"),
        ("null", BadFrame, "got null"),
        ('"start"', BadFrame, "got a string"),
        ("[" * 30_000, BadFrame, "JSON"),
        ('{"a":' * 30_000, BadFrame, "JSON"),
        ("{}", UnknownAction, "got none"),
        ('{"action": "stop"}', UnknownAction, "got 'stop'"),
        ('{"action": 1}', UnknownAction, "got 1"),
        ('{"action": ["start"]}', UnknownAction, "one of start, watch"),
        ('{"action": "start", "params": []}', Invalid, "Expected `object`, got `array`"),
        ('{"action": "start", "service": 1}', Invalid, "`$.service`"),
        ('{"action": "start", "key": ""}', Invalid, "length >= 1"),
        ('{"action": "start", "ref": "' + "x" * 65 + '"}', Invalid, "length <= 64"),
        ('{"action": "watch"}', Invalid, "missing required field `job`"),
        ('{"action": "cancel", "job": "1 OR 1=1"}', Invalid, "Invalid UUID"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text: str, error: type[Refused], says: str) -> None:
    with pytest.raises(error) as refusal:
        parse(text)
    assert type(refusal.value) is error
    assert says in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_the_ref_of_a_bad_frame_is_found_if_it_has_one() -> None:
    assert ref_of('{"action": "stop", "ref": "a1"}') == "a1"
    assert ref_of('{"ref": 5}') is None
    assert ref_of("[") is None


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        parse(text)
