"""The roll-up: what children count for, whoever was away when they began, moved or ended."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import progrock
from progrock import jobs, registry, standing
from progrock.delay import Entry, NewEntry
from progrock.groups import Grouped
from progrock.groups.roll import Roll, roll_up
from progrock.models import Job
from progrock.protocol import State
from progrock.retention import aclear
from progrock.step import Miss, Reading
from progrock.testing import adrain, rock
from tests.groups.conftest import ME

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("setting")]


async def a_group(**params: Any) -> Job:
    now = timezone.now()
    row = Job(service="group", owner=ME, state=State.RUNNING, created=now, changed=now, started=now, params=params)
    await row.asave(force_insert=True)
    await registry.inbox().put(str(row.pk))
    return row


async def children(group: Job, count: int, state: State, *, weight: float = 1.0, **fields: Any) -> list[Job]:
    now = timezone.now()
    over = {"finished": now, "error": "remote" if state is State.FAILED else ""} if state.complete else {}
    made = [
        Job(
            service="scripted",
            owner=ME,
            parent=group,
            weight=weight,
            state=state,
            created=now,
            changed=now,
            started=now,
            **over,
            **fields,
        )
        for _ in range(count)
    ]
    await Job.objects.abulk_create(made)
    return made


def entry(row: Job, percent: float | None) -> NewEntry:
    row.percent = percent
    return standing.entry_for(row, 60_000)


async def test_a_child_counts_by_its_weight_and_by_how_it_stands() -> None:
    group = await a_group(weight=10.0)
    await children(group, 2, State.SUCCEEDED)
    await children(group, 1, State.FAILED, weight=2)
    await children(group, 1, State.CANCELLED)
    (half, silent, odd) = await children(group, 3, State.RUNNING)
    await children(group, 1, State.PENDING)  # nobody has scheduled it yet
    await registry.store().schedule([entry(half, 50), entry(silent, None), NewEntry(str(odd.pk), "c", b"?", 60_000)])
    roll = (await roll_up([str(group.pk)]))[str(group.pk)]
    assert roll.counts() == {"succeeded": 2, "failed": 1, "cancelled": 1, "running": 4}
    assert (roll.weight, roll.moved) == (9, 5.5)
    assert roll.percent(closed=False) == pytest.approx(55)
    assert roll.percent(closed=True) == pytest.approx(5.5 / 9 * 100)
    assert roll.words(closed=True) == "2 of 8 done, 1 failed, 1 cancelled"


async def test_groups_are_told_apart_and_those_that_are_gone_are_not_there() -> None:
    one, other = await a_group(), await a_group()
    await children(one, 3, State.SUCCEEDED)
    gone = str(uuid.uuid4())
    rolls = await roll_up([str(one.pk), gone, str(other.pk)])
    assert {key: roll.succeeded for key, roll in rolls.items()} == {str(one.pk): 3, str(other.pk): 0}
    looks = await Grouped().poll([gone, str(one.pk)])
    assert looks[0] == Miss("vanished", "It is gone.")
    assert isinstance(looks[1], Reading)


def test_what_weighs_nothing_has_no_percentage() -> None:
    assert Roll(running=1).percent(closed=True) is None
    assert Roll({"weight": 0.0}, running=1, weight=1, moved=0.5).percent(closed=False) is None
    assert Roll(running=1_500, weight=1).words(closed=True) == "0 of 1,500 done"


async def test_a_thousand_children_cost_two_queries_and_few_script_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    group = await a_group(weight=1_000.0)
    await children(group, 600, State.SUCCEEDED)
    await children(group, 10, State.FAILED)
    live = await children(group, 390, State.RUNNING)
    await registry.store().schedule([entry(row, 10) for row in live])
    peeked: list[int] = []
    peek = registry.store().peek

    async def counted(keys: Sequence[str]) -> list[Entry | None]:
        peeked.append(len(keys))
        return await peek(keys)

    monkeypatch.setattr(registry.store(), "peek", counted)
    queries = await sync_to_async(lambda: CaptureQueriesContext(connections["default"]))()
    await sync_to_async(queries.__enter__)()
    (look,) = await Grouped().poll([str(group.pk)])
    await sync_to_async(queries.__exit__)(None, None, None)
    words = "600 of 1,000 done, 10 failed"
    assert look == Reading(State.RUNNING, pytest.approx(64.9), words, again=390, lines=[])
    assert (len(queries), peeked) == (2, [391])


async def test_a_failure_too_many_is_known_when_all_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    group = await a_group(failures=1, closed={"state": "succeeded", "message": ""})
    await children(group, 2, State.FAILED)
    (last,) = await children(group, 1, State.RUNNING)
    (look,) = await Grouped().poll([str(group.pk)])
    assert isinstance(look, Reading)
    assert (look.state, look.message) == (State.RUNNING, "0 of 3 done, 2 failed")
    await Job.objects.filter(pk=last.pk).aupdate(state=State.SUCCEEDED, finished=timezone.now())
    (look,) = await Grouped().poll([str(group.pk)])
    assert isinstance(look, Reading)
    assert (look.state, look.message) == (State.FAILED, "1 of 3 done, 2 failed")


async def test_a_database_that_is_away_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    group = str((await a_group()).pk)

    def away() -> None:
        raise DatabaseError("away")

    for name in ("service.primary", "roll.primary"):
        with monkeypatch.context() as broken:
            broken.setattr(f"progrock.groups.{name}", away)
            look = await Grouped().cancel(group)
            assert isinstance(look, Miss)
            assert look.code == "unreachable"


async def test_a_cancel_asks_each_child_once(monkeypatch: pytest.MonkeyPatch) -> None:
    group = await a_group()
    over = await children(group, 1, State.SUCCEEDED)
    live = await children(group, 2, State.RUNNING) + await children(group, 1, State.PENDING)
    nudged: list[str] = []

    async def nudge(keys: Sequence[str]) -> int:
        nudged.extend(keys)
        return len(keys)

    monkeypatch.setattr(registry.store(), "nudge", nudge)
    for _ in range(2):
        look = await Grouped().cancel(str(group.pk))
        assert isinstance(look, Reading)
        assert (look.state, look.again) == (State.RUNNING, 500)
    assert sorted(nudged) == sorted(str(row.pk) for row in live)
    assert await Job.objects.filter(state=State.CANCELLING).acount() == 3
    assert (await Job.objects.aget(pk=over[0].pk)).state == State.SUCCEEDED


async def test_a_long_group_keeps_the_children_that_it_counts() -> None:
    group = await a_group()
    await children(group, 1, State.SUCCEEDED)
    await Job.objects.filter(parent=group).aupdate(finished=timezone.now() - timedelta(days=100))
    assert await aclear(timedelta(days=90)) == 0
    assert (await roll_up([str(group.pk)]))[str(group.pk)].succeeded == 1


async def test_in_tests_of_ones_own_groups_are_what_they_are() -> None:
    with rock() as remote:
        remote.say(Reading(State.RUNNING, 50), Reading(State.FAILED, message="No tape."))
        async with progrock.group("Nightly", owner=ME, failures=2) as group:
            for _ in range(2):
                await group.astart("scripted")
        ended = {each.job: each for each in await adrain()}
    assert (ended[group.id].state, ended[group.id].message) == (State.SUCCEEDED, "0 of 2 done, 2 failed")


async def test_a_cancel_before_the_first_step_reaches_the_children() -> None:
    with rock() as remote:
        remote.say(Reading(State.RUNNING, 50))
        async with progrock.group("Nightly", owner=ME) as group:
            children = [(await group.astart("scripted")).job for _ in range(2)]
        await jobs.acancel(group.id, owner=ME)
        ended = {each.job: each.state for each in await adrain()}
    assert ended == dict.fromkeys([*children, group.id], State.CANCELLED)
