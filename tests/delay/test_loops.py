"""What every event loop has one of its own: made once, found again, gone with its loop."""

from __future__ import annotations

import asyncio
import gc
from itertools import count

import pytest

from progrock.delay.loops import PerLoop


def test_each_loop_has_its_own_made_when_it_is_first_asked_for() -> None:
    numbers = count()

    @PerLoop
    def number() -> list[int]:
        """Return a number."""
        return [next(numbers)]

    async def twice() -> list[list[int]]:
        return [number(), number()]

    assert number.__doc__ == "Return a number."
    with asyncio.Runner() as one, asyncio.Runner() as other:
        assert one.run(twice()) == [[0], [0]]
        assert other.run(twice()) == [[1], [1]]
        assert one.run(twice()) == [[0], [0]]
        assert len(number) == 2
    del one, other
    gc.collect()
    assert len(number) == 0


async def test_what_is_taken_away_is_made_anew() -> None:
    each = PerLoop(object)
    assert each.pop() is None
    first = each()
    assert each.pop() is first
    second = each()
    assert second is not first
    each.clear()
    assert each.pop() is None


async def test_what_could_not_be_made_is_tried_again() -> None:
    tries = iter([ValueError("no"), None])

    @PerLoop
    def made() -> str:
        if error := next(tries):
            raise error
        return "made"

    with pytest.raises(ValueError, match="no"):
        made()
    assert made() == "made"


def test_without_a_running_loop_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        PerLoop(object)()
