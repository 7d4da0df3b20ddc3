"""How many jobs an owner may start: counted exactly, whoever asks, and refused cheaply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from progrock import jobs, push, quota
from progrock.exceptions import TooMany
from progrock.models import Job

pytestmark = pytest.mark.django_db(transaction=True)
SETTING = {
    "SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}},
    "DEFAULT_SERVICE": "scripted",
    "MAX_STARTS_PER_MINUTE": 2,
}


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK=SETTING):
        yield


def ago(seconds: float, owner: str = "me") -> None:
    """Have an owner's jobs be started so much earlier."""
    Job.objects.filter(owner=owner).update(created=F("created") - timedelta(seconds=seconds))


async def test_one_more_in_a_minute_is_refused_until_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("progrock.quota.monotonic", lambda: now)
    await jobs.astart(owner="me")
    await sync_to_async(ago)(20)
    first = await jobs.astart(owner="me")
    for _ in range(2):
        with pytest.raises(TooMany, match=r"2 starts a minute, got one more\. Try again in (3\d|4[01]) s\.") as refused:
            await jobs.astart(owner="me")
        assert 30 <= refused.value.after <= 41
    await jobs.astart(owner="you")
    # Now there is room in the database, but this process does not ask before it has to.
    await sync_to_async(ago)(41)
    with pytest.raises(TooMany):
        await jobs.aretry(first.job, owner="me")
    now += 41
    await jobs.astart(owner="me")


@pytest.mark.parametrize("limit", ["MAX_STARTS_PER_MINUTE", "MAX_UNFINISHED"])
async def test_who_is_known_to_be_over_is_refused_without_a_question(
    limit: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("progrock.quota.monotonic", lambda: now)
    settings.PROGROCK = SETTING | {"MAX_STARTS_PER_MINUTE": 9} | {limit: 2}
    for _ in range(2):
        await jobs.astart(owner="me")
    with pytest.raises(TooMany) as first:
        await jobs.astart(owner="me")

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            for flood in range(100):
                with pytest.raises(TooMany):
                    jobs.start(owner="me") if flood % 2 else jobs.retry("no matter which", owner="me")
        return len(queries)

    assert await sync_to_async(asked)() == 0
    now += first.value.after
    with pytest.raises(TooMany) as again:
        await jobs.astart(owner="me")
    assert str(again.value)[:40] == str(first.value)[:40]


async def test_children_and_jobs_of_own_code_are_not_counted(settings: Any) -> None:
    group = await push.acreate("An album", owner="me")
    for _ in range(3):
        await jobs.astart(owner="me", parent=group.job)
    for _ in range(3):
        await push.acreate("Own code", owner="me")
    for _ in range(2):
        await jobs.astart(owner="me")
    with pytest.raises(TooMany):
        await jobs.astart(owner="me")
    await jobs.astart(owner="me", parent=group.job)
    settings.PROGROCK = SETTING | {"MAX_STARTS_PER_MINUTE": None}
    quota.forget()
    await jobs.astart(owner="me")


async def test_a_key_that_is_known_is_no_start() -> None:
    first = await jobs.astart(owner="me", key="k")
    await jobs.astart(owner="me")
    with pytest.raises(TooMany):
        await jobs.astart(owner="me")
    assert (await jobs.astart(owner="me", key="k")).job == first.job


def side_by_side(count: int, work: Callable[[], object]) -> list[bool]:
    """Do something so many times at once, each with a connection of its own; return which were not refused."""

    def one(_: int) -> bool:
        try:
            work()
        except TooMany:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_starts_at_the_same_time_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in processes that do not know of each other.
    monkeypatch.setattr(quota, "look", lambda owner: None)
    done = side_by_side(12, lambda: asyncio.run(jobs.astart(owner="me")))
    assert (sum(done), Job.objects.filter(owner="me").count()) == (2, 2)


def test_what_a_process_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "OWNERS_MOST", 10)
    for n in range(100):
        quota.take_of_address(f"10.0.0.{n}", "session:a")
    assert len(quota._addresses) == 10
    for n in range(20 - 1):
        quota.take_of_address("10.0.0.99", f"session:{n}")
    with pytest.raises(TooMany, match="at most 20 starts a minute of an address"):
        quota.take_of_address("10.0.0.99", "session:a")
    quota.take_of_address("10.0.0.99", "user:7")
    quota.take_of_address("", "session:a")  # a server on a file knows no addresses
