"""The marks of what is watched: the same in memory and in Redis."""

from __future__ import annotations

from tests.politeness.conftest import Bench


async def test_a_mark_is_seen_until_it_ends(bench: Bench) -> None:
    assert await bench.audience.watched(["a", "b"]) == [False, False]
    assert await bench.audience.mark(["a"], 1_000) == [True]
    assert await bench.audience.watched(["a", "b"]) == [True, False]
    await bench.advance(999)
    assert await bench.audience.mark(["a", "b"], 1_000) == [False, True]
    await bench.advance(999)
    assert await bench.audience.watched(["a", "b"]) == [True, True]
    await bench.advance(1)
    assert await bench.audience.watched(["a", "b"]) == [False, False]
    assert await bench.audience.mark(["a"], 1_000) == [True]


async def test_many_are_marked_and_asked_for(bench: Bench) -> None:
    topics = [f"job {number}" for number in range(2_500)]
    assert await bench.audience.mark(topics, 1_000) == [True] * 2_500
    assert await bench.audience.watched([*topics, "nobody's"]) == [True] * 2_500 + [False]
    assert await bench.audience.watched([]) == []
    assert await bench.audience.mark([], 1_000) == []
