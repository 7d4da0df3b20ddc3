"""Writes that are asked for together are one transaction, and each other's trouble is not theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from progrock.models import Job
from progrock.protocol import State
from progrock.writes import Writes

pytestmark = pytest.mark.django_db(transaction=True)


async def rows(count: int) -> list[QuerySet[Job]]:
    now = timezone.now()
    made = [await Job.objects.acreate(service="s", owner="me", created=now, changed=now) for _ in range(count)]
    return [Job.objects.filter(pk=job.pk) for job in made]


async def test_those_of_one_moment_are_few_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    some, atomic, begun = await rows(20), transaction.atomic, []

    def counted(using: str) -> Any:
        begun.append(using)
        return atomic(using)

    monkeypatch.setattr("progrock.writes.transaction.atomic", counted)
    writes = Writes()
    answers = await asyncio.gather(*(writes.update(each, title="t") for each in some))
    assert answers == [1] * 20
    assert len(begun) == 1
    assert await Job.objects.filter(title="t").acount() == 20


async def test_what_matches_nothing_is_nothing() -> None:
    (row,) = await rows(1)
    assert await Writes().update(row.filter(state=State.RUNNING), title="t") == 0


async def test_one_that_cannot_be_is_its_own_trouble() -> None:
    writes, some = Writes(), await rows(5)
    changes: list[dict[str, Any]] = [{"title": "t"}] * 5
    changes[2] = {"state": "impossible"}
    answers = await asyncio.gather(
        *(writes.update(each, **change) for each, change in zip(some, changes, strict=True)), return_exceptions=True
    )
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [1, 1, IntegrityError, 1, 1]
    assert await Job.objects.filter(title="t").acount() == 4


async def test_a_database_that_is_away_is_everybodys_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    writes, some = Writes(), await rows(3)

    def away(self: QuerySet[Job], **changes: object) -> int:
        raise DatabaseError("away")

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "update", away)
        answers = await asyncio.gather(*(writes.update(each, title="t") for each in some), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseError] * 3
    assert await writes.update(some[0], title="t") == 1


async def test_who_no_longer_waits_holds_up_nobody() -> None:
    writes, some = Writes(), await rows(3)
    waiting = [asyncio.create_task(writes.update(each, title="t")) for each in some]
    await asyncio.sleep(0)
    waiting[1].cancel()
    assert list(await asyncio.gather(waiting[0], waiting[2])) == [1, 1]


async def test_what_follows_is_written_with_it_or_not_at_all() -> None:
    writes, some, calls = Writes(), await rows(2), []

    def then() -> None:
        calls.append("then")
        Job.objects.filter(title="t").update(message="also")

    def torn() -> None:
        then()
        raise IntegrityError("torn")

    nothing = some[0].filter(state=State.RUNNING)
    assert await writes.update(nothing, then=torn, title="t") == 0
    answers = await asyncio.gather(
        writes.update(some[0], then=then, title="t"),
        writes.update(some[1], then=torn, title="t"),
        return_exceptions=True,
    )
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [1, IntegrityError]
    assert [(job.title, job.message) async for job in Job.objects.order_by("title")] == [("", ""), ("t", "also")]
    assert "then" in calls
