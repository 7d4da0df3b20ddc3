"""Messages to be sent later: whatever comes in, it is carried as it is or refused in words."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrock.delay.exceptions import InvalidMessage, NewerMessage
from progrock.delay.message import DELAY_MOST, check, entry_of, entry_refused, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ODD = st.recursive(
    PLAIN | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())) | st.dates() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text() | st.tuples(st.integers()), inner),
    max_leaves=8,
)
ANYTHING = ODD | st.fixed_dictionaries(
    {}, optional={"channel": ODD | st.just("c"), "content": ODD, "delay": ODD, "layer": ODD, "key": ODD, "refused": ODD}
)


@given(
    content=st.dictionaries(st.text(), PLAIN),
    delay=st.integers(0, DELAY_MOST) | st.floats(0, DELAY_MOST),
    channel=st.from_regex(r"[a-zA-Z0-9\-_.]{1,40}(![a-zA-Z0-9]{1,40})?", fullmatch=True),
)
def test_what_is_plain_comes_back_as_it_was(content: dict[str, Any], delay: float, channel: str) -> None:
    message = check({"channel": channel, "content": content, "delay": delay})
    entry = entry_of(message)
    assert unpack(entry.message) == message
    assert message.content == content
    assert entry.delay == math.ceil(delay)


@given(ANYTHING)
def test_anything_else_is_refused_and_stays_so(message: object) -> None:
    reason = ""
    try:
        entry = entry_of(check(message))
    except InvalidMessage as error:
        reason = str(error)
        entry = entry_refused(message, reason)
    if reason:
        with pytest.raises(InvalidMessage, match=r"^Expected "):
            unpack(entry.message)
    else:
        assert isinstance(message, dict)
        assert repr(unpack(entry.message).content) == repr(message["content"])


@given(st.binary())
def test_what_somebody_else_put_into_the_store_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidMessage, match=r"^Expected "):
        unpack(packed)


def test_what_the_version_before_stored_is_read() -> None:
    """It knew of no version."""
    message = check({"channel": "c", "content": {"version": 7}, "delay": 5})
    kept = msgspec.msgpack.decode(entry_of(message).message)
    assert kept.pop("version") == 1
    assert unpack(msgspec.msgpack.encode(kept)) == message


@pytest.mark.parametrize("version", [2, 2**63])
def test_what_a_newer_version_stored_is_known_for_that(version: int) -> None:
    with pytest.raises(NewerMessage, match=f"version 1, got version {version}"):
        unpack(msgspec.msgpack.encode({"version": version, "to": "c"}))
