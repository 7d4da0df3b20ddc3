"""The reconciler: every unfinished row has its entry, every cancel has been heard."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from channels_redis.core import RedisChannelLayer
from django.conf import settings
from django.db import IntegrityError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from progrock import outbox, reconcile, registry, standing
from progrock.delay import NewEntry
from progrock.models import Delivery, Job
from progrock.protocol import State
from progrock.reconcile import FULL_EVERY, PAGE, Sweep, mend, sweep
from progrock.retention import aclear
from tests.redis import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)
NOW = 1_795_000_000_000_000


async def row(age: int = 0, **fields: object) -> Job:
    then = timezone.now() - timedelta(seconds=age)
    return await Job.objects.acreate(service="s", owner="me", **{"created": then, "changed": then, **fields})


async def scheduled(job: Job) -> bool:
    return (await registry.store().peek([str(job.pk)]))[0] is not None


async def test_what_has_no_entry_gets_one_and_what_has_is_left_alone() -> None:
    missing, there = await row(), await row()
    await registry.store().schedule([standing.entry_for(there, 60_000)])
    (before,) = await registry.store().peek([str(there.pk)])
    assert await mend([missing, there]) == (1, 0)
    assert await scheduled(missing)
    assert await registry.store().peek([str(there.pk)]) == [before]


async def test_a_cancel_is_passed_on_until_the_entry_has_heard_it() -> None:
    job = await row(state=State.CANCELLING)
    new = standing.entry_for(Job(pk=job.pk, service="s", owner="me", created=job.created, changed=job.changed), 60_000)
    await registry.store().schedule([new])
    assert await mend([job]) == (0, 1)
    await registry.store().remove([str(job.pk)])
    await registry.store().schedule([standing.entry_for(job, 60_000)])
    assert await mend([job]) == (0, 0)


async def test_the_first_pass_is_full_and_the_next_ones_are_over_young_rows() -> None:
    old = await row(age=3_600)
    state, delay = await sweep(Sweep(), NOW)
    assert await scheduled(old)
    assert (state.full, state.full_at, delay) == (False, NOW + FULL_EVERY * 1000, reconcile.EVERY)
    await registry.store().remove([str(old.pk)])
    young = await row()
    state, _ = await sweep(state, NOW + 5_000_000)
    assert await scheduled(young)
    assert not await scheduled(old)


async def test_full_passes_come_round_again() -> None:
    state, now, fulls = Sweep(), NOW, []
    for _ in range(30):
        if state.full:
            fulls.append(now)
        state, delay = await sweep(state, now)
        now += delay * 1000
    assert [after - before for before, after in itertools.pairwise(fulls)] == [FULL_EVERY * 1000] * 2


async def test_what_has_ended_is_never_scheduled() -> None:
    now = timezone.now()
    reasons = {State.FAILED: "remote"}
    ended = [
        await row(state=state, started=now, finished=now, error=reasons.get(state, ""))
        for state in State
        if state.complete
    ]
    await sweep(Sweep(), NOW)
    assert not any([await scheduled(job) for job in ended])


async def test_many_rows_are_taken_page_by_page_and_spread() -> None:
    now = timezone.now()
    await Job.objects.abulk_create(Job(service="s", owner="me", created=now, changed=now) for _ in range(PAGE * 2 + 10))
    state, delay = await sweep(Sweep(), NOW)
    assert state.after
    assert delay < 100
    assert await registry.store().depth() == PAGE
    while state.after:
        state, _ = await sweep(state, NOW)
    assert await registry.store().depth() == PAGE * 2 + 10
    entries = await registry.store().peek([str(job.pk) async for job in Job.objects.all()])
    dues = [entry.due for entry in entries if entry and entry.due]
    assert max(dues) - min(dues) > PAGE * 1000 / 2


async def test_a_cancel_that_was_not_heard_is_nudged_and_so_is_what_makes_no_sense() -> None:
    unheard, garbled = await row(state=State.CANCELLING), await row(state=State.CANCELLING)
    then = unheard.created
    new = standing.entry_for(Job(pk=unheard.pk, service="s", owner="me", created=then, changed=then), 60_000)
    store = registry.store()
    await store.schedule([new, NewEntry(str(garbled.pk), registry.CHANNEL, b"\xc1", 60_000)])
    assert await mend([unheard, garbled]) == (0, 2)
    await store.announce(registry.CHANNEL, "w", 2, 60_000)
    assert [lease.nudged for lease in await store.lease(2, 1_000)] == [True, True]


async def test_young_is_what_changed_and_not_what_was_created_just_now() -> None:
    job = await row(age=3_600, changed=timezone.now())
    await sweep(Sweep(full=False, full_at=NOW + 60_000_000), NOW)
    assert await scheduled(job)


async def test_a_full_pass_is_full_on_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)
    old = [await row(age=3_600) for _ in range(5)]
    state, _ = await sweep(Sweep(), NOW)
    while state.after:
        state, _ = await sweep(state, NOW)
    assert all([await scheduled(job) for job in old])


def test_ended_jobs_cost_the_reconciler_nothing() -> None:
    """However many there are: its query is answered by the index over the unfinished ones."""
    then = timezone.now()
    fields = {"state": State.CANCELLED, "created": then, "changed": then, "finished": then}
    Job.objects.bulk_create(Job(service="s", owner="me", **fields) for _ in range(2_000))
    with CaptureQueriesContext(connection) as queries:
        async_to_sync(sweep)(Sweep(full=False), NOW)
    (query,) = [each["sql"] for each in queries if "progrock_job" in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE progrock_job")
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if connection.vendor == 'sqlite' else ''} {query}")
        assert "progrock_job_unfinished" in str(cursor.fetchall())


async def test_what_cannot_be_forgotten_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def protected(older_than: timedelta) -> int:
        raise IntegrityError("somebody's row refers to it")

    monkeypatch.setattr(reconcile, "aclear", protected)
    state, _ = await sweep(Sweep(after="00000000-0000-4000-8000-000000000000"), NOW)
    assert (state.after, state.full) == ("", False)
    assert "could not be deleted" in caplog.text


@pytest.mark.parametrize(("keep", "left"), [(90, 1), (None, 2)])
async def test_what_ended_long_ago_is_forgotten(keep: float | None, left: int) -> None:
    for age in (89, 91):
        then = timezone.now() - timedelta(days=age)
        await row(state=State.CANCELLED, finished=then)
    with override_settings(PROGROCK={**settings.PROGROCK, "KEEP_DAYS": keep}):
        await sweep(Sweep(full=False), NOW)
        assert await Job.objects.acount() == 2
        await sweep(Sweep(), NOW)
    assert await Job.objects.acount() == left


async def test_more_than_a_page_is_forgotten_in_one_pass_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("progrock.retention.PAGE", 2)
    then = timezone.now() - timedelta(days=91)
    for _ in range(7):
        await row(state=State.CANCELLED, finished=then)
    monkeypatch.setattr(reconcile, "FORGET", -1)
    await sweep(Sweep(), NOW)
    assert await Job.objects.acount() == 5
    monkeypatch.undo()
    monkeypatch.setattr("progrock.retention.PAGE", 2)
    await sweep(Sweep(), NOW)
    assert await Job.objects.acount() == 0


async def test_what_a_dead_worker_was_about_to_take_is_taken_away(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """channels_redis has it under another key until the next look at that channel, which nobody else takes."""
    work = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [redis.url], "prefix": "w:"}}
    await registry.store().announce("prog-rocker", "alive", 10, 60_000)
    with override_settings(CHANNEL_LAYERS={**settings.CHANNEL_LAYERS, "work": work}):
        layer = get_channel_layer("work")
        for channel in ("alive", "dead"):
            killed = RedisChannelLayer(hosts=[redis.url], prefix="w:")
            monkeypatch.setattr(killed, "_clean_receive_backup", lambda *_: asyncio.sleep(60))
            for n in range(3):
                await layer.send(channel, {"type": "leases", "n": n})
            await killed.receive(channel)
            for task in killed.receive_cleaners:
                task.cancel()
            await killed.close_pools()
        state, _ = await sweep(Sweep(readers=["alive", "dead"]), NOW)
        assert sorted(redis.cli("KEYS", "w:*").split()) == ["w:alive", "w:alive$inflight"]
        assert state.readers == ["alive"]
        await layer.close_pools()


async def test_what_cannot_be_taken_away_is_tried_again() -> None:
    work = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}
    with override_settings(CHANNEL_LAYERS={**settings.CHANNEL_LAYERS, "work": work}):
        state, _ = await sweep(Sweep(readers=["dead"]), NOW)
    assert state.readers == ["dead"]


async def test_what_ends_while_its_row_is_looked_at_is_left_alone() -> None:
    job = await row()
    await Job.objects.filter(pk=job.pk).aupdate(state=State.CANCELLED, finished=timezone.now())
    assert await mend([job]) == (0, 0)
    assert not await scheduled(job)


async def deliveries(count: int, **fields: Any) -> list[Delivery]:
    now = timezone.now()
    job = await row(state=State.CANCELLED, finished=now)
    made = [
        Delivery(job=job, kind="email", target="owner", **{"created": now, "until": now, **fields})
        for _ in range(count)
    ]
    return list(await Delivery.objects.abulk_create(made))


async def test_a_job_is_not_forgotten_before_everybody_is_told() -> None:
    (waiting,), _ = await deliveries(1), await deliveries(1, state="sent", sent=timezone.now())
    await Job.objects.aupdate(finished=timezone.now() - timedelta(hours=2))
    with override_settings(PROGROCK={**settings.PROGROCK, "KEEP_DAYS": 0.05}):
        await sweep(Sweep(), NOW)
        assert [str(pk) async for pk in Job.objects.values_list("pk", flat=True)] == [str(waiting.job_id)]
        await Delivery.objects.filter(pk=waiting.pk).aupdate(state="failed", error="It answered 500.")
        await sweep(Sweep(), NOW)
    assert await Job.objects.acount() == 0


async def entries(rows: list[Delivery]) -> int:
    return sum(entry is not None for entry in await registry.store().peek([str(row.pk) for row in rows]))


async def test_deliveries_without_an_entry_get_one_in_a_full_pass_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)
    waiting = await deliveries(5)
    over = [*await deliveries(1, state="sent", sent=timezone.now()), *await deliveries(1, state="failed", error="x")]
    state, _ = await sweep(Sweep(full=False, full_at=NOW + 60_000_000), NOW)
    assert await entries(waiting) == 0
    state, delay = await sweep(Sweep(), NOW)
    assert (await entries(waiting), state.told, delay) == (2, True, 10)
    while state.after:
        state, delay = await sweep(state, NOW)
    assert (await entries(waiting), await entries(over)) == (5, 0)
    assert (state.told, state.full, delay) == (False, False, reconcile.EVERY)


async def test_all_is_mended_when_asked_for() -> None:
    job, waiting = await row(), await deliveries(3)
    assert await reconcile.areconcile() == (4, 0)
    assert await scheduled(job)
    assert await entries(waiting) == 3
    assert await reconcile.areconcile() == (0, 0)


async def test_what_is_sent_while_its_row_is_looked_at_is_left_alone() -> None:
    waiting = await deliveries(1)
    await Delivery.objects.aupdate(state="sent", sent=timezone.now())
    assert await outbox.mend(waiting) == 0
    assert await entries(waiting) == 0


def test_deliveries_that_are_over_cost_the_reconciler_nothing() -> None:
    async_to_sync(deliveries)(2_000, state="sent", sent=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE progrock_delivery")
    assert "progrock_delivery_pending" in outbox.pending("").explain()


async def test_deliveries_are_forgotten_with_their_job() -> None:
    await deliveries(3, state="sent", sent=timezone.now())
    await Job.objects.aupdate(finished=timezone.now() - timedelta(days=2))
    assert await aclear(timedelta(days=1)) == 1
    assert await Delivery.objects.acount() == 0
