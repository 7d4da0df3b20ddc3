"""Rows as events: from where the reader was, to the end, and none twice."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any, cast

import pytest

from progrock.delay import StoreAway
from progrock.fragments import view
from progrock.journal import MemoryJournal
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from progrock.updates import hub
from tests.fragments.conftest import EVIL, Reader, Told, at, listen, talk, told
from tests.http.conftest import Caller, refused

pytestmark = pytest.mark.usefixtures("engine")


async def all_of(caller: Caller, path: str, **headers: str) -> list[Told]:
    async with asyncio.timeout(60):
        return [event async for event in told(await listen(caller, path, **headers))]


def rows(job: str, first: int, last: int) -> list[str]:
    return [f'<li id="{job}-{n}">{n} line {n}</li>' for n in range(first, last + 1)]


async def test_rows_come_as_they_are_said_and_then_the_end(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(12))
    job = await caller.start()
    reader = Reader()
    events = await all_of(caller, at(job))
    for event in events:
        reader.take(event)
    assert reader.rows == rows(job, 1, 12)
    assert [event.kind for event in events if event.kind in ("reset", "close")] == ["reset", "close"]
    assert reader.closed
    assert not hub()._sinks


async def test_who_comes_late_is_given_all_at_once(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(5))
    job = await caller.start()
    await caller.complete(job)
    first, last = await all_of(caller, at(job))
    assert (first.kind, first.data) == ("reset", "\n".join(rows(job, 1, 5)))
    assert (last.kind, last.data) == ("close", "")
    # Nothing else was said: a browser that did not close is told to stay away.
    response = await listen(caller, at(job), last_event_id=str(first.id))
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("cursor", ["header", "address"])
async def test_a_reader_that_is_cut_off_again_and_again_gets_each_row_once(
    caller: Caller, remote: Remote, cursor: str
) -> None:
    remote.say(*talk(40, at_once=2))
    job = await caller.start()
    reader = Reader()
    for cut in range(200):
        in_header = {"last_event_id": reader.cursor} if reader.cursor and cursor == "header" else {}
        in_address = f"&after={reader.cursor}" if reader.cursor and cursor == "address" else ""
        response = await listen(caller, at(job) + in_address, **in_header)
        if response.status_code == 204:
            break
        taken = 0
        async with asyncio.timeout(60), aclosing(told(response)) as source:
            async for event in source:
                reader.take(event)
                assert len(set(reader.rows)) == len(reader.rows)
                taken += event.kind in ("message", "reset")
                if taken > cut % 3:
                    break
        if reader.closed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert reader.rows == rows(job, 1, 40)
    assert cut > 3


async def test_a_row_stays_in_its_event_whatever_the_line_says(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.SUCCEEDED, lines=[Line(EVIL, "info", EVIL)]))
    job = await caller.start()
    await caller.complete(job)
    first, last = await all_of(caller, at(job))
    assert "<script" not in first.data
    assert "&lt;script&gt;" in first.data
    assert (first.kind, last) == ("reset", Told("close", "", None))


async def test_newest_first_and_only_the_newest(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(4))
    job = await caller.start()
    await caller.complete(job)
    first, _ = await all_of(caller, at(job, mode="newest"))
    assert first.data.split("\n") == rows(job, 1, 4)[::-1]
    first, _ = await all_of(caller, at(job, mode="replace"))
    assert first.data.split("\n") == rows(job, 4, 4)
    # Who has a cursor is given the others one by one, each for the top.
    line = json.loads((await caller.get(f"jobs/{job}/?after=0")).content)["journal"][1]
    events = await all_of(caller, at(job, mode="newest", after=f"{line['seq']}.2"))
    assert [(event.kind, event.data) for event in events[:-1]] == [("message", each) for each in rows(job, 3, 4)]
    assert (await all_of(caller, at(job, mode="replace", after=f"{line['seq']}.2")))[0].data == rows(job, 4, 4)[0]


async def test_a_journal_that_is_away_is_no_end(
    caller: Caller, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.say(*talk(3))
    job = await caller.start()
    await caller.complete(job)

    async def away(*args: object) -> None:
        raise StoreAway("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryJournal, "read", away)
        assert await all_of(caller, at(job)) == []
    assert [event.kind for event in await all_of(caller, at(job))] == ["reset", "close"]


async def test_silence_is_broken(caller: Caller, going: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "HEARTBEAT", 0.05)
    job = await caller.start()
    response = await listen(caller, at(job))
    async with asyncio.timeout(60), aclosing(cast("Any", aiter(cast("Any", response)))) as parts:
        async for part in parts:
            if part == b": \n\n":
                break
    assert not hub()._sinks


@pytest.mark.parametrize("value", ["x", "-1", "1.x", "1." + "9" * 40, "9" * 40, "", "1.2.3", "\uff11.2"])
async def test_a_last_event_id_that_is_no_cursor_is_none(caller: Caller, remote: Remote, value: str) -> None:
    remote.say(*talk(2))
    job = await caller.start()
    await caller.complete(job)
    first, _ = await all_of(caller, at(job), last_event_id=value.encode().decode("latin-1"))
    assert (first.kind, first.data) == ("reset", "\n".join(rows(job, 1, 2)))


async def test_what_is_somebody_elses_is_not_there(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(2))
    job = await caller.start()
    stranger = Caller()
    await stranger.start()
    for who in (stranger, Caller()):
        for ask in (who.get, lambda path, who=who: listen(who, path)):
            refused(await ask(at(job)), 404, "not_found")
