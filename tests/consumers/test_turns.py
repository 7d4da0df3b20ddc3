"""What a worker says to the limits: little, and all of it."""

from __future__ import annotations

import asyncio

import pytest

from progrock import registry
from progrock.conf import Limit
from progrock.consumers.turns import Turn, Turns
from progrock.politeness import Answer, Ask, Limits, MemoryLimits
from tests.conftest import until

MS = 1_000


class Listening(Limits):
    """Limits that answer what they are told to, once they may."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.answer: Answer | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, service: str, limit: Limit, ask: Ask) -> Answer:
        self.asks.append(ask)
        await self.gate.wait()
        return self.answer or Answer(ask.first, ask.due, ask.fresh)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Listening:
    limits = Listening()
    monkeypatch.setattr(registry, "limits", lambda: limits)
    return limits


async def test_what_is_asked_for_at_once_is_one_word_and_shared_out_in_order(limits: Listening) -> None:
    turns = Turns("s", Limit(rate=10))
    limits.answer = Answer(first=1, due=2, fresh=1, front=100 * MS, end=1_000 * MS, gap=100 * MS)
    shares = await asyncio.gather(
        turns.take(3, due=1),  # one of them was put off before
        turns.take(2, first=True),
        turns.take(4, due=4),
        turns.take(2),
    )
    assert [(ask.first, ask.due, ask.fresh, ask.permit) for ask in limits.asks] == [(2, 5, 4, "")]
    assert [share.calls for share in shares] == [1 + 1, 1, 1, 0]
    # The first of those that were put off before waits for the next call too, behind the cancel.
    assert [share.waits for share in shares] == [(1_000,), (100,), (200, 1_100, 1_200), (1_300, 1_400)]


async def test_nobody_is_sent_away_for_longer_than_any_promise_nor_comes_back_with_all_others(
    limits: Listening,
) -> None:
    limits.answer = Answer(0, 0, 0, front=100 * MS, end=200_000 * MS, gap=1_000 * MS)
    (*near, last), far = ((turn := await Turns("s", Limit(rate=1)).take(1_000)).waits[:100], turn.waits[100:])
    assert (near[0], last) == (200_000, 299_000)
    assert 225_000 <= min(far) < 235_000
    assert 290_000 < max(far) <= 300_000


async def test_calls_that_are_over_are_told_of_together_and_with_the_next_that_asks(limits: Listening) -> None:
    turns = Turns("s", Limit(concurrency=9))
    one, two = await asyncio.gather(turns.take(3), turns.take(4))
    assert one.permit == two.permit != ""
    turns.finish(one, 5 * MS)
    turns.finish(two, 7 * MS)
    await turns.take(1)
    assert [ask.finished for ask in limits.asks] == [[], [(one.permit, 3), (one.permit, 4)]]
    assert limits.asks[1].took == 7 * MS
    turns.finish(one, 5 * MS)
    turns.finish(two, 5 * MS)
    await until(lambda: len(limits.asks) == 3)
    assert limits.asks[2].finished == [(one.permit, 3), (one.permit, 4)]
    assert (limits.asks[2].first, limits.asks[2].due, limits.asks[2].fresh) == (0, 0, 0)


async def test_where_calls_at_a_time_are_not_limited_their_end_is_nobodys_business(limits: Listening) -> None:
    turns = Turns("s", Limit(rate=10))
    turns.finish(await turns.take(3), 5 * MS)
    await turns.take(1)
    assert [ask.finished for ask in limits.asks] == [[], []]
    assert turns._telling is None


async def test_what_is_owed_is_paid_with_the_next_that_asks(limits: Listening) -> None:
    turns = Turns("s", Limit(rate=10))
    turns.owe()
    turns.owe()
    await turns._tell()  # nothing to say
    await turns.take(1)
    await turns.take(1)
    assert [ask.owed for ask in limits.asks] == [2, 0]


async def test_who_is_stopped_while_it_asks_gives_back_what_it_would_have_had(limits: Listening) -> None:
    limit, memory = Limit(concurrency=2), MemoryLimits(lambda: 1_000_000)
    turns = Turns("s", limit)
    limits.gate.clear()
    asking = asyncio.ensure_future(turns.take(2))
    await until(lambda: limits.asks)
    asking.cancel()
    await asyncio.wait([asking])
    limits.gate.set()
    await until(lambda: len(limits.asks) == 2)
    granted = await memory.take("s", limit, limits.asks[0])
    await memory.take("s", limit, limits.asks[1])
    assert (granted.fresh, (await memory.take("s", limit, Ask(fresh=2))).fresh) == (2, 2)


async def test_who_is_stopped_in_the_moment_of_the_answer_gives_it_back(limits: Listening) -> None:
    turns = Turns("s", Limit(concurrency=2))
    asking = asyncio.ensure_future(turns.take(2))
    await asyncio.sleep(0)  # it has asked, and nobody has passed it on
    turns._wishes[0].turn.set_result(Turn(2, (), "p"))
    asking.cancel()
    await asyncio.wait([asking])
    await until(lambda: any(("p", 2) in ask.finished for ask in limits.asks))
