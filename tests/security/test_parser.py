"""Anything at all as a frame: answered by a frame of the protocol or refused by a word of it, never an exception."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from progrock.exceptions import BadFrame, Invalid, NotFound, UnknownAction
from progrock.protocol import ACTIONS, Action, error_frame, parse, ref_of
from progrock.standing import key_of
from progrock.updates import _group

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("ref", "job", "service", "params", "key", "deadline", "after", "ack", "channel", "action", "type")
FRAMES = st.builds(
    lambda action, rest: json.dumps({**rest, "action": action}),
    st.sampled_from(ACTIONS) | ANY,
    st.dictionaries(st.sampled_from(KEYS), ANY, max_size=5),
)
DAMAGED = st.builds(
    lambda frame, at, what, cut: frame[: at % (len(frame) + 1)] + what + frame[at % (len(frame) + 1) + cut :],
    FRAMES,
    st.integers(0, 2_000),
    st.text(max_size=3),
    st.integers(0, 3),
)
quickly = settings(
    max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def take(text: str) -> Action | str:
    """Return what the receiver would do with a text frame."""
    try:
        return parse(text)
    except (BadFrame, Invalid, UnknownAction) as refusal:
        return error_frame(refusal.code, str(refusal), ref_of(text))


def harmless(text: str) -> None:
    began = time.thread_time()
    taken = take(text)
    assert time.thread_time() - began < 0.5
    if isinstance(taken, str):
        told: dict[str, Any] = json.loads(taken)
        assert told["type"] == "error"
        # However long it was: who sends nonsense does not get it back.
        assert len(told["message"]) < 1_000
        assert len(str(told.get("ref", ""))) <= 64


@quickly
@given(st.text(st.characters(exclude_categories=[]), max_size=200))
def test_any_text_is_refused_or_taken(text: str) -> None:
    harmless(text)


@quickly
@given(FRAMES)
def test_any_object_is_refused_or_taken(text: str) -> None:
    harmless(text)


@quickly
@given(DAMAGED)
def test_any_frame_that_is_damaged_is_refused_or_taken(text: str) -> None:
    harmless(text)


@quickly
@given(st.text(max_size=150) | st.uuids().map(str) | st.uuids().map("urn:uuid:{0}}}".format))
def test_no_name_leads_into_a_group_or_a_key(name: str) -> None:
    # Of owners and channels, which may be anything, only their number; of jobs, only a UUID.
    assert re.fullmatch(r"prog-updates\.\d{1,3}", _group(name))
    taken = take(json.dumps({"action": "watch", "job": name}))
    assert isinstance(taken, str) or re.fullmatch(r"[0-9a-f-]{36}", str(getattr(taken, "job", "")))
    with suppress(NotFound):
        assert re.fullmatch(r"[0-9a-f-]{36}", key_of(name))


def test_what_is_as_long_and_deep_as_a_frame_may_be_costs_next_to_nothing() -> None:
    most = 65_536
    for text in (
        "[" * most,
        '{"action":' * (most // 10),
        '{"action":"start","params":' + '{"a":' * (most // 6),
        '{"action":"start","params":{' + ",".join(f'"{n:x}":0' for n in range(6_000)) + "}}",
        '{"action":"start","deadline":' + "9" * (most - 50) + "}",
        '{"action":"start","deadline":1e' + "9" * (most - 50) + "}",
        '{"action":"' + "\\u0000" * (most // 6) + '"}',
        '{"action":"watch","job":"' + "0" * (most - 50) + '"}',
        '{"ref":' + '"' + "x" * (most - 50) + '"}',
    ):
        harmless(text)
