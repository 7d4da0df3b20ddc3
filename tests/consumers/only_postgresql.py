"""What only PostgreSQL can do to a running job: be started again, cut a connection, keep a row locked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.utils import timezone

from progrock import jobs, reconcile, registry, signals
from progrock.exceptions import Unavailable
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.step import Reading
from tests.conftest import until
from tests.postgres import PostgresServer
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("engine")
RUNNING = Reading(State.RUNNING, 30)
SUCCEEDED = Reading(State.SUCCEEDED, 100)
RECOVERY_MOST = 9
"""Seconds from when the database is back until what waited for it is written."""


@pytest.fixture
def told() -> Iterator[list[Snapshot]]:
    """Every end that was told, in order."""
    ends: list[Snapshot] = []

    def hear(snapshot: Snapshot, **kwargs: Any) -> None:
        ends.append(snapshot)

    signals.finished.connect(hear)
    yield ends
    signals.finished.disconnect(hear)


async def running(remote: Remote) -> str:
    """Start a job that runs until it is told otherwise."""
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: looks(remote, job) >= 2)
    return job


def looks(remote: Remote, job: str) -> int:
    """Tell how often the service was asked about it."""
    return sum(f"r-{job}" in batch for batch in remote.polls)


def finish(remote: Remote, job: str) -> None:
    remote.looks[f"r-{job}"] = [SUCCEEDED]


async def written(**fields: Any) -> bool:
    """Tell whether there is such a row, as far as the database answers."""
    try:
        return await Job.objects.filter(**fields).aexists()
    except OperationalError:
        return False


async def over(job: str) -> bool:
    """Tell whether it has ended and nothing of it is left."""
    return await written(pk=job, state=State.SUCCEEDED) and await registry.store().peek([job]) == [None]


def cut(postgres: PostgresServer) -> None:
    """End all sessions, as a failover does."""
    postgres.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


@contextmanager
def locked(statement: str, *values: object) -> Iterator[None]:
    """Hold the lock that a statement takes, in a session of its own."""
    params: dict[str, Any] = connection.get_connection_params()
    with psycopg.connect(**{name: params[name] for name in ("host", "port", "user", "dbname")}) as holder:
        holder.execute(statement, values)
        yield
        holder.rollback()


async def waiting(postgres: PostgresServer) -> bool:
    return postgres.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"


@pytest.mark.parametrize("immediate", [False, True], ids=["in order", "as after a crash"])
async def test_a_restart_is_not_noticed(
    remote: Remote, postgres: PostgresServer, told: list[Snapshot], immediate: bool
) -> None:
    job = await running(remote)
    postgres.restart(immediate=immediate)
    seen = looks(remote, job)
    await until(lambda: looks(remote, job) > seen + 2)
    finish(remote, job)
    await until(lambda: len(told) > 0, within=RECOVERY_MOST)
    await until(lambda: over(job))
    assert [(each.job, each.state) for each in told] == [(job, State.SUCCEEDED)]
    assert remote.starts == {job: 1}


async def test_an_end_waits_for_the_database(
    remote: Remote, postgres: PostgresServer, told: list[Snapshot], caplog: pytest.LogCaptureFixture
) -> None:
    job = await running(remote)
    postgres.stop()
    finish(remote, job)
    await until(lambda: caplog.text.count("wait for the database") >= 2)
    with pytest.raises(Unavailable):
        await jobs.astart(owner="me")
    assert told == []
    postgres.start()
    await until(lambda: len(told) > 0, within=RECOVERY_MOST)
    await until(lambda: over(job))
    assert [(each.job, each.state) for each in told] == [(job, State.SUCCEEDED)]
    assert remote.starts == {job: 1}


async def test_a_start_waits_for_the_database(remote: Remote, postgres: PostgresServer) -> None:
    """Its row is there, its first step finds no database to write down that it begins."""
    remote.default = [RUNNING]
    remote.gate.clear()
    job = (await jobs.astart(owner="me")).job
    await until(lambda: written(pk=job, state=State.RUNNING))
    postgres.stop()
    remote.gate.set()
    await until(lambda: remote.starts[job] >= 1)
    postgres.start()
    await until(lambda: written(pk=job, remote=f"r-{job}"), within=RECOVERY_MOST)
    finish(remote, job)
    await until(lambda: over(job))
    assert remote.starts == {job: 1}


@pytest.mark.parametrize("committed", [False, True])
async def test_a_connection_lost_in_the_commit_of_an_end_ends_it_once(
    remote: Remote,
    postgres: PostgresServer,
    told: list[Snapshot],
    monkeypatch: pytest.MonkeyPatch,
    committed: bool,
) -> None:
    job = await running(remote)
    update = QuerySet.update
    lost: list[int] = []

    def losing(self: QuerySet[Any], **values: Any) -> int:
        if lost or "finished" not in values:
            return update(self, **values)
        if not committed:
            lost.append(0)
            cut(postgres)
            return update(self, **values)
        lost.append(update(self, **values))
        cut(postgres)
        raise OperationalError("the answer is lost")

    monkeypatch.setattr(QuerySet, "update", losing)
    finish(remote, job)
    await until(lambda: len(told) > 0, within=RECOVERY_MOST)
    await until(lambda: over(job))
    assert lost == [int(committed)]
    assert [(each.job, each.state) for each in told] == [(job, State.SUCCEEDED)]
    row = await Job.objects.aget(pk=job)
    assert row.seq == told[0].seq


async def test_the_reconciler_goes_on_after_a_restart(remote: Remote, postgres: PostgresServer) -> None:
    remote.default = [SUCCEEDED]
    now = timezone.now()
    job = await Job.objects.acreate(pk=uuid.uuid4(), service="scripted", owner="me", created=now, changed=now)
    postgres.stop()
    await registry.store().nudge([reconcile.KEY])
    with pytest.raises(OperationalError):
        await Job.objects.aexists()
    postgres.start()
    await until(lambda: over(str(job.pk)))
    assert remote.starts == {str(job.pk): 1}


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM progrock_job FOR UPDATE", "LOCK TABLE progrock_job IN ACCESS EXCLUSIVE MODE"],
    ids=["row", "table"],
)
async def test_a_lock_of_somebody_else_makes_an_end_late_and_holds_up_no_look(
    remote: Remote, postgres: PostgresServer, told: list[Snapshot], statement: str
) -> None:
    job, other = await running(remote), await running(remote)
    with locked(statement):
        finish(remote, job)
        await until(lambda: waiting(postgres))
        # For longer than a second, that stale connections are looked for meanwhile.
        seen, end = looks(remote, other), time.monotonic() + 1.5
        await until(lambda: looks(remote, other) >= seen + 20 and time.monotonic() > end)
        assert told == []
    await until(lambda: over(job))
    assert [(each.job, each.state) for each in told] == [(job, State.SUCCEEDED)]
    assert remote.starts == {job: 1, other: 1}
