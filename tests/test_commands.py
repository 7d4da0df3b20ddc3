"""The commands of the operator: what they refuse, what they tell, what they do with dead entries."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from progrock import registry
from progrock.delay import Dead, NewEntry, RedisStore
from progrock.models import Job
from progrock.protocol import State
from tests.redis import RedisServer


@pytest.fixture
def on_redis(settings: Any, redis: RedisServer) -> RedisServer:
    """The project with its schedule in Redis."""
    settings.PROGROCK = {**settings.PROGROCK, "STORE": redis.url}
    return redis


def with_store(server: RedisServer, work: Any) -> Any:
    """Do something with the store in a loop of its own."""

    async def run() -> Any:
        store = RedisStore.from_url(server.url)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return asyncio.run(run())


def dead(server: RedisServer, *keys: str) -> None:
    """Have entries die."""

    async def die(store: RedisStore) -> None:
        await store.announce("c", "c.one", 100, 60_000)
        await store.schedule([NewEntry(key, "c", b"m") for key in keys])
        await store.settle([(lease, Dead(f"no luck with {lease.key}")) for lease in await store.lease(100, 5_000)])
        await store.announce("c", "c.one", 0, 0)

    with_store(server, die)


def say(*words: str) -> str:
    """Run a command and return what it prints."""
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    "words",
    [["rundelay"], ["reconcile"], ["runworker", registry.CHANNEL], ["delayed", "status"], ["delayed", "drop", "--all"]],
)
def test_memory_settings_are_refused_by_a_second_process(words: list[str]) -> None:
    with pytest.raises(CommandError, match=r"'memory://'.*redis://127\.0\.0\.1:6379/0"):
        say(*words)


@pytest.mark.parametrize("words", [["rundelay"], ["runworker", registry.CHANNEL]])
def test_a_layer_that_is_not_there_is_named(on_redis: RedisServer, words: list[str]) -> None:
    with pytest.raises(CommandError, match="Expected one of the CHANNEL_LAYERS 'default', 'work', got 'wrok'"):
        say(*words, "--layer", "wrok")


@pytest.mark.parametrize("batch", ["0", "-1", "x", "2001", "1.5"])
def test_a_batch_that_makes_no_sense_is_refused(batch: str) -> None:
    with pytest.raises(CommandError, match="whole number from 1 to 2000"):
        say("rundelay", f"--batch={batch}")


def test_once_hands_out_what_is_due_and_ends(on_redis: RedisServer) -> None:
    async def seed(store: RedisStore) -> None:
        await store.announce("c", "c.one", 2, 60_000)
        await store.schedule([NewEntry("due", "c", b""), NewEntry("later", "c", b"", 60_000)])

    with_store(on_redis, seed)
    say("rundelay", "--once")
    status = with_store(on_redis, lambda store: store.status())
    assert (status.held, status.waiting) == (1, 3)  # the standing entries have nobody here
    assert status.schedulers == []


def test_an_unfit_redis_ends_the_scheduler_with_one_line(on_redis: RedisServer) -> None:
    on_redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(CommandError, match="maxmemory-policy noeviction"):
            say("rundelay")
    finally:
        on_redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_status_fails_as_long_as_somebody_is_missing(on_redis: RedisServer) -> None:
    with pytest.raises(CommandError, match=r"No scheduler is alive\. Start one: manage\.py rundelay"):
        say("delayed", "status")
    with_store(on_redis, lambda store: store.beat("s", 60_000))
    assert "Schedulers: s" in say("delayed", "status", "--scheduler")
    with pytest.raises(CommandError, match="No worker of prog-rocker is alive"):
        say("delayed", "status")
    with pytest.raises(CommandError, match="No worker of c is alive"):
        say("delayed", "status", "--worker", "c")
    with_store(on_redis, lambda store: store.announce(registry.CHANNEL, "prog-rocker.one", 7, 60_000))
    assert "prog-rocker.one: 0 of 7 slots taken" in say("delayed", "status")
    assert json.loads(say("delayed", "status", "--json"))["readers"][0]["slots"] == 7


def test_the_dead_are_listed_with_their_reasons(on_redis: RedisServer) -> None:
    dead(on_redis, "a", "b")
    listed = say("delayed", "dead")
    assert "'a' of c, after 1 attempts: 'no luck with a'" in listed
    assert len(say("delayed", "dead", "--limit", "1").splitlines()) == 1
    assert json.loads(say("delayed", "dead", "--json").splitlines()[0])["reason"].startswith("no luck")


def test_the_dead_can_be_retried_and_dropped(on_redis: RedisServer) -> None:
    dead(on_redis, "a", "b", "c")
    assert say("delayed", "retry", "a").strip() == "1 of 1 entries are due now."
    assert say("delayed", "drop", "b").strip() == "1 of 1 entries are forgotten."
    assert say("delayed", "drop", "--all").strip() == "1 of 1 entries are forgotten."
    status = with_store(on_redis, lambda store: store.status())
    assert (status.waiting, status.overdue, status.dead) == (1, 1, 0)


def test_names_that_are_no_text_are_told_and_dropped(on_redis: RedisServer) -> None:
    async def spoil(store: RedisStore) -> None:
        command: Any = store._scripts.command
        await command("HSET", "{delay.0}:entries", b"\xff", "1 c m")
        await command("HSET", "{delay.0}:reasons", b"\xff", b"\xfe")
        await command("ZADD", "{delay.0}:dead", 1, b"\xff")
        await command("HSET", "{delay.0}:readers", b"c.\xff", "5 9999999999999999 c")
        await command("ZADD", "{delay.0}:schedulers", 9_999_999_999_999_999, b"\xfe")

    with_store(on_redis, spoil)
    assert json.loads(say("delayed", "dead", "--json"))["key"] == "\udcff"
    assert "'\\udcff' of c" in say("delayed", "dead")
    told = say("delayed", "status", "--worker", "c")
    told.encode()
    assert "c.\\udcff: 0 of 5" in told
    say("delayed", "status", "--worker", "c", "--json").encode()
    assert say("delayed", "drop", "--all").strip() == "1 of 1 entries are forgotten."


def test_what_is_alive_is_neither_retried_nor_dropped(on_redis: RedisServer) -> None:
    with_store(on_redis, lambda store: store.schedule([NewEntry("alive", "c", b"")]))
    for action in ("retry", "drop"):
        with pytest.raises(CommandError, match="Expected keys of dead entries, got 'alive', not dead"):
            say("delayed", action, "alive")
        with pytest.raises(CommandError, match="Expected keys of dead entries, or --all, got neither"):
            say("delayed", action)


def test_a_store_that_is_away_is_said_in_one_line(settings: Any) -> None:
    settings.PROGROCK = {**settings.PROGROCK, "STORE": "redis://127.0.0.1:1/0"}
    with pytest.raises(CommandError, match="The delay store does not answer"):
        say("delayed", "status")


def a_job(age: int = 0, **fields: Any) -> Job:
    """Make a row of a job that ended so many days ago, or did not."""
    then = timezone.now() - timedelta(days=age)
    over = {"state": State.CANCELLED, "finished": then} if age else {}
    return Job.objects.create(service="s", owner="me", **{"created": then, "changed": then, **over, **fields})


@pytest.mark.django_db(transaction=True)
def test_reconcile_schedules_what_is_missing_and_says_so(on_redis: RedisServer) -> None:
    jobs = [a_job() for _ in range(3)]
    assert say("reconcile") == "Scheduled again: 3. Told that they are cancelled: 0.\n"
    assert None not in with_store(on_redis, lambda store: store.peek([str(job.pk) for job in jobs]))
    Job.objects.filter(pk=jobs[0].pk).update(state=State.CANCELLING)
    assert say("reconcile") == "Scheduled again: 0. Told that they are cancelled: 1.\n"


@pytest.mark.django_db(transaction=True)
def test_clearjobs_forgets_what_ended_long_ago_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progrock.retention.PAGE", 2)
    old = [a_job(age) for age in (31, 40, 50)]
    kept = [a_job(29), a_job(retry_of=old[1]), a_job()]
    Job.objects.filter(pk=kept[2].pk).update(created=timezone.now() - timedelta(days=400))
    assert say("clearjobs", "--older-than", "30d", "--dry-run") == "Would delete 3 jobs.\n"
    assert say("clearjobs", "--older-than", "30d") == "Deleted 3 jobs.\n"
    assert set(Job.objects.all()) == set(kept)
    assert Job.objects.get(pk=kept[1].pk).retry_of is None


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1w", "99999999999d", "999999d", "٣d", ""])
def test_clearjobs_takes_no_age_that_is_none(age: str) -> None:
    with pytest.raises(CommandError, match="expected a time such as"):
        call_command("clearjobs", f"--older-than={age}")
