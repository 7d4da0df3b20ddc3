"""What can be done with a job, before any worker has it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.test import override_settings
from django.utils import timezone
from msgspec.structs import replace

from progrock import jobs, registry, standing
from progrock.delay import HAND_OFF, NewEntry, StoreAway
from progrock.delay.entry import from_channel
from progrock.exceptions import (
    Invalid,
    InvalidParams,
    NotComplete,
    NotFound,
    TooMany,
    Unavailable,
    UnknownService,
)
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.step import begin
from tests.conftest import until

NOW = timezone.now()
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK={"SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}}):
        yield


async def test_a_start_is_a_row_and_an_entry() -> None:
    snapshot = await jobs.astart("scripted", {"a": 1}, owner="me")
    row = await Job.objects.aget(pk=snapshot.job)
    assert (row.owner, row.params, row.state) == ("me", {"a": 1}, "pending")
    (entry,) = await registry.store().peek([snapshot.job])
    assert entry is not None
    run = standing.run_of(entry)
    assert run is not None
    assert (run.owner, run.snapshot) == ("me", snapshot)


async def test_a_list_has_results_that_are_short_and_says_which_it_has_cut() -> None:
    results = {"none": None, "short": {"pages": 7}, "falsy": 0, "long": ["a"] * standing.LISTED}
    for title, result in results.items():
        await Job.objects.acreate(
            owner="me", service="s", title=title, result=result, state="succeeded",
            remote="r", created=NOW, changed=NOW, started=NOW, finished=NOW,
        )  # fmt: skip
    listed = {each.title: each for each in await jobs.alist_mine(owner="me")}
    assert {title: each.result for title, each in listed.items()} == results | {"long": None}
    told = {title: msgspec.json.decode(msgspec.json.encode(each)) for title, each in listed.items()}
    assert [title for title, each in told.items() if each.get("cut")] == ["long"]
    whole = await jobs.aget(listed["long"].job, owner="me")
    assert whole.result == results["long"]
    assert not hasattr(whole, "cut")


async def test_the_same_key_is_the_same_job_for_the_same_owner_only() -> None:
    first = await jobs.astart(owner="me", key="k")
    again = await jobs.astart(owner="me", key="k")
    other = await jobs.astart(owner="you", key="k")
    assert first == again
    assert other.job != first.job
    assert await Job.objects.acount() == 2


async def test_no_key_is_never_the_same_job() -> None:
    assert (await jobs.astart(owner="me")).job != (await jobs.astart(owner="me")).job


@pytest.mark.parametrize(
    ("service_name", "params", "error", "says"),
    [
        ("sinth", {}, UnknownService, "Expected one of the services 'scripted', got 'sinth'."),
        (None, {"bad": 1}, InvalidParams, "expected no 'bad'"),
        (None, {"a": "x" * 9_000}, InvalidParams, "at most 8192 bytes"),
    ],
)
async def test_a_start_that_cannot_be_is_refused_and_leaves_nothing(
    service_name: str | None, params: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await jobs.astart(service_name, params, owner="me")
    assert await Job.objects.acount() == 0
    assert await registry.store().depth() == 0


async def test_a_database_that_is_away_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Job, **kwargs: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(Job, "save", away)
    with pytest.raises(Unavailable):
        await jobs.astart(owner="me")
    assert await registry.store().depth() == 0


async def test_a_schedule_that_is_away_does_not_refuse_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(entries: object) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(registry.store(), "schedule", away)
    snapshot = await jobs.astart(owner="me")
    assert await Job.objects.filter(pk=snapshot.job).aexists()
    assert "starts late" in caplog.text


async def test_nobody_sees_or_cancels_what_is_not_theirs() -> None:
    mine = await jobs.astart(owner="me")
    for job in (mine.job, str(uuid.uuid4())):
        with pytest.raises(NotFound):
            await jobs.aget(job, owner="you")
        with pytest.raises(NotFound):
            await jobs.acancel(job, owner="you")
    assert await jobs.alist_mine(owner="you") == []
    assert (await Job.objects.aget(pk=mine.job)).state == "pending"


async def test_a_live_job_is_read_from_its_entry() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    assert (await jobs.aget(snapshot.job, owner="me")).progress == 42
    assert [job.progress for job in await jobs.alist_mine(owner="me")] == [42]
    with pytest.raises(NotFound):
        await jobs.aget(snapshot.job, owner="you")


async def test_only_a_cancel_that_changes_something_asks_for_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    nudged: list[list[str]] = []

    async def nudge(keys: list[str]) -> int:
        nudged.append(keys)
        return len(keys)

    monkeypatch.setattr(registry.store(), "nudge", nudge)
    job = (await jobs.astart(owner="me")).job
    with pytest.raises(NotFound):
        await jobs.acancel(job, owner="you")
    assert nudged == []
    for _ in range(3):
        assert (await jobs.acancel(job, owner="me")).state is State.CANCELLING
    assert nudged == [[job]]


async def test_a_cancel_is_seen_by_who_asks_before_the_next_step() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    await jobs.acancel(snapshot.job, owner="me")
    seen = await jobs.aget(snapshot.job, owner="me")
    assert (seen.state, seen.progress) == (State.CANCELLING, 42)


async def test_a_row_that_has_ended_wins_over_an_entry_whose_worker_died() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    store = registry.store()
    await store.announce(registry.CHANNEL, "reader", 5, 60_000)
    await store.nudge([snapshot.job])
    held = await store.renew(await store.lease(5, 5_000), 1, "reader")
    assert len(held) == 1
    await Job.objects.filter(pk=snapshot.job).aupdate(state=State.SUCCEEDED, started=NOW, finished=NOW, message="Done.")

    async def lost() -> bool:
        (entry,) = await store.peek([snapshot.job])
        return entry is not None and not entry.held

    await until(lost)
    assert (await jobs.aget(snapshot.job, owner="me")).state is State.SUCCEEDED


async def test_a_row_that_has_ended_wins_over_an_entry_that_is_held() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    store = registry.store()
    await store.announce(registry.CHANNEL, "w", 1, 60_000)
    await store.nudge([snapshot.job])
    await store.renew(await store.lease(1, 1_000), 1_000, "w")
    now = timezone.now()
    await Job.objects.filter(pk=snapshot.job).aupdate(state=State.SUCCEEDED, started=now, finished=now, changed=now)
    assert (await jobs.aget(snapshot.job, owner="me")).state is State.SUCCEEDED
    assert (await jobs.alist_mine(owner="me"))[0].state is State.SUCCEEDED


async def test_the_newest_come_first_and_not_all_of_them() -> None:
    started = [(await jobs.astart(owner="me")).job for _ in range(5)]
    assert [snapshot.job for snapshot in await jobs.alist_mine(owner="me", limit=3)] == started[:1:-1]


def test_the_sync_doors_open_from_a_plain_thread() -> None:
    snapshot = jobs.start(owner="me", key="k")
    assert jobs.get(snapshot.job, owner="me") == snapshot
    assert jobs.list_mine(owner="me") == [snapshot]
    assert jobs.cancel(snapshot.job, owner="me").state is State.CANCELLING


async def _replace_entry(job: str, percent: float) -> None:
    """Do what a first step does to the entry."""
    store = registry.store()
    (entry,) = await store.peek([job])
    assert entry is not None
    run = standing.run_of(entry)
    assert run is not None
    assert entry.due is not None
    run = begin(run, entry.due)
    run = replace(run, snapshot=replace(run.snapshot, percent=percent))
    await store.remove([job])
    await store.schedule([NewEntry(job, registry.CHANNEL, standing._encode(run), 60_000)])


async def test_the_same_start_at_the_same_time_is_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    first = await jobs.astart(owner="me", key="k")
    find = jobs.afind
    blind = 1

    async def too_early(key: str, *, owner: str) -> Snapshot | None:
        nonlocal blind
        if blind:
            blind -= 1
            return None
        return await find(key, owner=owner)

    monkeypatch.setattr(jobs, "afind", too_early)
    assert await jobs.astart(owner="me", key="k") == first


async def test_each_owner_has_a_limit_of_their_own(settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAX_UNFINISHED": 1}
    await jobs.astart(owner="me")
    await jobs.astart(owner="you")
    with pytest.raises(TooMany):
        await jobs.astart(owner="me")


async def test_a_start_is_told_and_handed_over_and_due_again_if_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Snapshot]] = []

    async def publish(snapshots: Iterable[tuple[str, Snapshot]]) -> None:
        told.extend(snapshots)

    monkeypatch.setattr("progrock.updates.publish", publish)
    snapshot = await jobs.astart(owner="me")
    assert told == [("me", snapshot)]
    (lease,) = from_channel(await get_channel_layer("work").receive(registry.CHANNEL))
    assert (lease.key, lease.at, lease.receipt - lease.due) == (snapshot.job, lease.due, HAND_OFF * 1000)


async def test_a_cancel_is_seen_at_once_and_makes_the_row_young() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    old = timezone.now() - timedelta(hours=1)
    await Job.objects.filter(pk=snapshot.job).aupdate(changed=old)
    await jobs.acancel(snapshot.job, owner="me")
    assert [(job.state, job.progress) for job in await jobs.alist_mine(owner="me")] == [(State.CANCELLING, 42)]
    assert (await Job.objects.aget(pk=snapshot.job)).changed > old


def test_an_entry_made_again_knows_its_remote_and_since_when_it_runs() -> None:
    then = timezone.now() - timedelta(hours=1)
    row = Job(service="s", owner="me", state="running", remote="r", created=then, changed=then, started=then)
    run = standing._decode_run(standing.entry_for(row, 0).message)
    assert (run.remote, run.started) == ("r", int(then.timestamp() * 1_000_000))


async def test_a_database_that_is_away_is_said_to_who_asks_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr("django.db.models.QuerySet.afirst", away)
    with pytest.raises(Unavailable):
        await jobs.afind("k", owner="me")


async def _ended(**fields: object) -> Job:
    """Return a job that has failed."""
    snapshot = await jobs.astart(owner="me", params={"a": 1}, deadline=5_000)
    await registry.store().remove([snapshot.job])
    now = timezone.now()
    over = {"state": State.FAILED, "error": "remote", "started": now, "finished": now, **fields}
    await Job.objects.filter(pk=snapshot.job).aupdate(**over)
    return await Job.objects.aget(pk=snapshot.job)


async def test_a_job_that_is_over_is_tried_again_as_a_new_one() -> None:
    old = await _ended()
    new = await jobs.aretry(old.pk, owner="me")
    assert (new.attempt, new.retry_of, new.state) == (2, str(old.pk), State.PENDING)
    row = await Job.objects.aget(pk=new.job)
    assert (row.params, row.deadline, row.service) == ({"a": 1}, 5_000, "scripted")
    assert (await registry.store().peek([new.job])) != [None]
    assert (await jobs.aget(old.pk, owner="me")).state is State.FAILED


async def test_tried_again_twice_it_is_one_job() -> None:
    old = await _ended()
    both = await asyncio.gather(*(jobs.aretry(old.pk, owner="me") for _ in range(5)))
    assert len({each.job for each in both}) == 1
    assert await Job.objects.acount() == 2


async def test_what_is_forgotten_while_it_is_tried_again_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    create = jobs._create

    async def cleared(job: Job) -> Snapshot:
        await Job.objects.all().adelete()
        return await create(job)

    monkeypatch.setattr(jobs, "_create", cleared)
    with pytest.raises(NotFound):
        await jobs.aretry((await _ended()).pk, owner="me")
    assert await Job.objects.acount() == 0


async def test_what_is_not_over_or_somebody_elses_is_not_tried_again() -> None:
    running = await jobs.astart(owner="me")
    with pytest.raises(NotComplete, match="got one that is pending"):
        await jobs.aretry(running.job, owner="me")
    old = await _ended()
    with pytest.raises(NotFound):
        await jobs.aretry(old.pk, owner="you")
    await Job.objects.filter(pk=old.pk).aupdate(service="gone")
    with pytest.raises(UnknownService):
        await jobs.aretry(old.pk, owner="me")
    assert await Job.objects.acount() == 2


async def test_nobody_has_a_key_that_nobody_may_have() -> None:
    assert await jobs.afind("a\x00b", owner="me") is None


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"key": ""}, Invalid),
        ({"key": "x" * 121}, Invalid),
        ({"key": "a\x00b"}, Invalid),
        ({"deadline": 0}, Invalid),
        ({"deadline": 10**15}, Invalid),
        ({"params": {"a": "nul \x00"}}, InvalidParams),
        ({"params": {"a": object()}}, InvalidParams),
        ({"params": {"a": msgspec.json.decode(b"[" * 100 + b"]" * 100)}}, InvalidParams),
        ({"params": {"a": "\ud800"}}, InvalidParams),
    ],
)
async def test_what_no_database_keeps_is_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await jobs.astart(owner="me", **wrong)
    assert await Job.objects.acount() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": ""},
        {"owner": "x" * 121},
        {"owner": "nul\x00"},
        {"owner": "\ud800"},
        {"owner": None},
        {"key": 5},
        {"key": "\ud800"},
        {"deadline": 1.5},
        {"deadline": True},
        {"deadline": float("nan")},
        {"deadline": "1000"},
    ],
)
async def test_a_caller_that_says_something_else_is_told_so(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        await jobs.astart(**{"owner": "me", **wrong})
    assert await Job.objects.acount() == 0


async def test_a_title_of_the_callers_own_fits_its_column() -> None:
    started = await jobs.astart(params={"title": "x" * 300}, owner="me")
    assert started.title == "x" * 200


async def test_numbers_that_json_does_not_have_are_null() -> None:
    snapshot = await jobs.astart(owner="me", params={"a": float("nan"), "b": float("inf")})
    assert (await Job.objects.aget(pk=snapshot.job)).params == {"a": None, "b": None}


def test_in_a_transaction_a_start_waits_for_its_commit() -> None:
    with transaction.atomic():
        snapshot = jobs.start(owner="me")
        assert _depth() == 0
    assert _depth() == 1
    assert Job.objects.filter(pk=snapshot.job).exists()


def test_a_start_that_is_rolled_back_leaves_nothing() -> None:
    with transaction.atomic():
        jobs.start(owner="me")
        transaction.set_rollback(True)
    assert Job.objects.count() == 0
    assert _depth() == 0


def test_in_a_transaction_a_cancel_waits_for_its_commit() -> None:
    snapshot = jobs.start(owner="me")
    (before,) = _peek(snapshot.job)
    with transaction.atomic():
        assert jobs.cancel(snapshot.job, owner="me").state is State.CANCELLING
        assert _peek(snapshot.job) == [before]
    (after,) = _peek(snapshot.job)
    assert after != before


def test_a_key_that_is_taken_spoils_no_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    first = jobs.start(owner="me", key="k")

    find, asked = jobs.afind, 0

    async def late(key: str, *, owner: str) -> Snapshot | None:
        nonlocal asked
        asked += 1
        return None if asked == 1 else await find(key, owner=owner)  # it was not there yet a moment ago

    monkeypatch.setattr(jobs, "afind", late)
    with transaction.atomic():
        assert jobs.start(owner="me", key="k").job == first.job
        assert Job.objects.count() == 1


async def test_with_the_schedule_away_a_cancel_is_kept_and_jobs_are_shown_by_their_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = await jobs.astart(owner="me")

    async def away(keys: object) -> None:
        raise StoreAway("away")

    for name in ("nudge", "peek"):
        monkeypatch.setattr(registry.store(), name, away)
    assert (await jobs.acancel(snapshot.job, owner="me")).state is State.CANCELLING
    assert (await Job.objects.aget(pk=snapshot.job)).state == State.CANCELLING
    assert [each.state for each in await jobs.alist_mine(owner="me")] == [State.CANCELLING]


@pytest.mark.parametrize(
    "impossible",
    [
        {"state": "lost"},
        {"state": State.SUCCEEDED},
        {"state": State.RUNNING, "started": None},
        {"remote": "r", "started": None},
        {"finished": NOW},
        {"state": State.FAILED, "finished": NOW},
        {"error": "remote"},
        {"result": {"a": 1}},
        {"file": "audio/wav"},
        {"percent": 100.5},
        {"percent": -1},
        {"attempt": 0},
    ],
)
async def test_rows_that_cannot_be_are_kept_out(impossible: dict[str, object]) -> None:
    snapshot = await jobs.astart(owner="me")
    with pytest.raises(IntegrityError):
        await Job.objects.filter(pk=snapshot.job).aupdate(**impossible)


def _depth() -> int:
    return async_to_sync(registry.store().depth)()


def _peek(job: str) -> list[Any]:
    return async_to_sync(registry.store().peek)([job])


async def test_a_sync_view_of_an_async_server_starts_in_its_transaction() -> None:
    def view() -> str:
        with transaction.atomic():
            return jobs.start(owner="me").job

    job = await asyncio.wait_for(sync_to_async(view)(), 60)
    assert await registry.store().peek([job]) != [None]


def test_a_start_in_a_thread_of_its_own_is_as_good() -> None:
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(_start_and_let_go).result(10)
    assert _peek(job) != [None]


def _start_and_let_go() -> str:
    try:
        return jobs.start(owner="me").job
    finally:
        connections.close_all()


async def test_a_process_of_the_version_before_can_go_on_starting_jobs() -> None:
    def start() -> None:
        # As the first version did, which knows none of the columns of the second.
        named: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "owner": "me",
            "service": "scripted",
            "params": "{}",
            "state": "pending",
            "seq": 0,
            "created": NOW,
            "changed": NOW,
            **dict.fromkeys(["title", "remote", "message", "error"], ""),
        }
        marks = ", ".join(["%s"] * len(named))
        with connections["default"].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO progrock_job ({', '.join(named)}) VALUES ({marks})",
                list(named.values()),
            )

    await sync_to_async(start)()
    (snapshot,) = await jobs.alist_mine(owner="me")
    assert (snapshot.state, snapshot.attempt, snapshot.retry_of) == (State.PENDING, 1, None)
