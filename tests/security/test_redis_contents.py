"""A Redis in which other hands have written anything, anywhere: nothing crashes or spins, and jobs go on to their ends.

What each part makes of each odd value is tried where its own tests are; here, all that is in a Redis at work is spoiled
at once, whatever keys there are by then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import pytest
import redis as client
from channels.layers import get_channel_layer
from django.test import override_settings

from config import settings as project
from progrock import jobs, push, reconcile, registry
from progrock.consumers import newer
from progrock.consumers.worker import JobWorker
from progrock.delay import MemoryStore, NewEntry, RedisStore, Scheduler, StoreAway
from progrock.models import Job
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from progrock.updates import hub, publish
from tests.conftest import until
from tests.consumers.conftest import remote as remote
from tests.ear import Ear
from tests.redis import RedisServer
from tests.test_updates import snapshot

pytestmark = pytest.mark.usefixtures("transactional_db")

pack = msgspec.msgpack.encode
DEEP = b"\x91" * 50_000 + b"\xc0"
VALUES = [
    b"",
    b"\xc1\xff\xfe",
    b"9" * 400,
    b"-1e308",
    b"nan",
    DEEP,
    b"x" * 1_000_000,
    b"1 prog-rocker \xc1",
    b"1 prog-rocker " + DEEP,
    b"1 prog-rocker " + pack({"type": "run of a version to come", "owner": "me"}),
    b"1 prog-rocker " + pack({"type": "run", "owner": 5, "snapshot": {"seq": -1}}),
    b"1 prog-rocker " + pack({"type": "sweep", "after": "z" * 100, "full_at": 2**63 - 1, "full": 7}),
    b"99999999999999999999 prog-rocker x",
    b"1 \xff\xfe x",
]


@pytest.fixture
async def site(redis: RedisServer, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobWorker]:
    """A scheduler and a worker beside the test, on Redis, with a reconciler that looks often."""
    monkeypatch.setattr(reconcile, "EVERY", 200)
    monkeypatch.setattr(reconcile, "FULL_EVERY", 500)
    monkeypatch.setattr(Scheduler, "beat_ttl", 1_000)
    monkeypatch.setattr("progrock.politeness.redis.PROMISE_MOST", 1_000_000)
    monkeypatch.setattr(newer, "EVERY", 20)
    monkeypatch.setattr(newer, "OFFERS", 3)
    declared: dict[str, Any] = {
        "BACKEND": "tests.scripted.ScriptedService",
        "POLICY": {"interval": 20, "interval_most": 50, "unwatched": 50, "retry": 5, "retry_most": 50},
        "LIMITS": {"rate": 1_000, "concurrency": 50},
    }
    with override_settings(PROGROCK={"SERVICES": {"scripted": declared}, "STORE": redis.url}):
        worker = JobWorker()
        scope = {"type": "channel", "channel": registry.CHANNEL}
        scheduler = Scheduler(
            registry.store(), get_channel_layer(registry.WORK_LAYER), standing=reconcile.standing(), cap=100
        )
        running = [
            asyncio.ensure_future(worker(scope, asyncio.get_running_loop().create_future, partial(asyncio.sleep, 0))),
            asyncio.ensure_future(scheduler.run()),
        ]
        yield worker
        died = [each for each in running if each.done()]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await registry.aclose()
        assert not died


def overwrite(redis: client.Redis, key: bytes, at: int) -> None:
    """Put a key of another type in the place of one."""
    kind = redis.type(key)
    redis.delete(key)
    if kind == b"hash":
        redis.set(key, VALUES[at % len(VALUES)])
    else:
        redis.hset(key, "field", VALUES[at % len(VALUES)])


def garble(redis: client.Redis, key: bytes, at: int) -> None:
    """Put nonsense in the place of all that a key says of jobs, and beside it."""
    strange = [VALUES[(at + n) % len(VALUES)] for n in range(len(VALUES))]
    match redis.type(key):
        case b"hash":
            for n, field in enumerate(redis.hkeys(key)):
                redis.hset(key, field, strange[n % len(strange)])
            redis.hset(key, b"\xff", DEEP)
        case b"zset":
            redis.zadd(key, {b"\xff": float("-inf"), b"": float("inf"), b"x" * 1_000: 1e300, b"nobody": -5})
        case b"set":
            redis.sadd(key, *strange)
        case b"list":
            for n in range(redis.llen(key)):
                redis.execute_command("LSET", key, n, strange[n % len(strange)])
        case b"stream":
            redis.xadd(key, {b"n": b"9" * 400, b"line": DEEP})
            redis.xadd(key, {b"\xff": b"\xff"}, id=f"{2**64 - 1}-1")
        case _:
            redis.set(key, DEEP)


@pytest.mark.parametrize("spoil", [overwrite, garble])
async def test_whatever_is_in_redis_jobs_go_on_to_their_ends(
    site: JobWorker,
    remote: Remote,
    redis: RedisServer,
    spoil: Callable[[client.Redis, bytes, int], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    going = Reading(State.RUNNING, 50, "half", lines=[Line("begun"), Line("half", data={"a": [1]})])
    remote.say(going)
    begun = [(await jobs.astart(owner="me", params={"title": str(n)})).job for n in range(len(VALUES))]
    mine = (await push.acreate("Import", owner="me")).job
    await push.areport(mine, 5, total=10, message="half")
    await push.alog(mine, "info", "begun")
    await registry.audience().mark(["a topic"], 30_000)

    async def at_work() -> bool:
        rows = Job.objects.filter(pk__in=begun).exclude(remote="")
        return await rows.acount() == len(begun) and bool((await jobs.ajournal(begun[-1], owner="me"))[1:])

    await until(at_work)
    leases: list[float] = []
    lease = RedisStore.lease

    async def counted(self: RedisStore, *arguments: int) -> Any:
        leases.append(asyncio.get_running_loop().time())
        return await lease(self, *arguments)

    monkeypatch.setattr(RedisStore, "lease", counted)
    with client.Redis.from_url(redis.url) as hands, caplog.at_level(logging.INFO):
        kinds = {key.rpartition(b":")[2] for key in hands.scan_iter()}
        assert {b"entries", b"readers", b"clock", b"lines", b"bucket", b"marks", b"said"} <= kinds
        for at, key in enumerate(list(hands.scan_iter())):
            spoil(hands, key, at)
        caplog.clear()
        remote.say(going, Reading(State.SUCCEEDED, 100))
        for each in begun:
            remote.say(Reading(State.SUCCEEDED, 100, lines=going.lines), job=each)
        began = asyncio.get_running_loop().time()
        # Whoever comes now notices nothing of it.
        await until(lambda: _tried(jobs.astart(owner="me", key="after")))
        for call in (
            partial(jobs.aget, mine, owner="me"),
            partial(jobs.ajournal, begun[0], owner="me"),
            partial(push.areport, mine, 6),
            partial(push.alog, mine, "info", "goes on"),
            partial(jobs.acancel, mine, owner="me"),
            partial(registry.audience().mark, ["a topic"], 30_000),
            partial(registry.audience().watched, ["a topic"]),
            registry.store().status,
            partial(registry.store().dead, 10),
        ):
            await until(lambda call=call: _tried(call()))  # type: ignore[misc]
        # What own code has said is lost with its keys: its job ends as silent ones do, much later.
        await until(lambda: _all_ended(begun))
        took = asyncio.get_running_loop().time() - began
    rows = Job.objects.filter(pk__in=begun)
    assert {each.state async for each in rows} == {State.SUCCEEDED}
    # Each ran once, out there.
    assert {remote.starts[each] for each in begun} == {1}
    # A loop that spins asks thousands of times a second, and says as much.
    assert len(leases) / took < 100
    assert len(caplog.records) < 60 + 20 * took


async def _tried(call: Awaitable[object]) -> bool:
    """Return whether a call is answered; that Redis cannot answer now is an honest word, for a moment."""
    try:
        await call
    except StoreAway:
        return False
    return True


async def _all_ended(keys: list[str]) -> bool:
    return not await Job.objects.filter(pk__in=keys, finished__isnull=True).aexists()


async def test_garbage_between_the_processes_makes_no_socket_deaf(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [redis.url], "prefix": "clients:"},
    }
    with override_settings(CHANNEL_LAYERS={**project.CHANNEL_LAYERS, "default": layer}):
        ear = Ear()
        await hub().watch("me", "a", ear)
        strange = [
            b"\xc1",
            b"",
            DEEP,
            pack([1, 2]),
            pack("text"),
            pack({"type": 5}),
            pack({"type": "prog.updates", "updates": pack([["me", "a", -1, 2, b"", "x"]])}),
            pack({"type": "prog.updates", "updates": DEEP}),
            pack({"type": "prog.updates", "updates": pack([]), "events": pack([[5]])}),
            b"x" * 1_000_000,
        ]
        with client.Redis.from_url(redis.url) as hands:
            (channel,) = [each for each in hands.pubsub_channels() if b"__group__" in each]
            for each in strange:
                hands.publish(channel, each)
        await publish([("me", snapshot("a"))])
        await until(lambda: ear.jobs == ["a"])
        await hub().unwatch("me", "a", ear)
    assert caplog.text.count("The hub dropped a message") == len(strange)


async def test_standing_entries_stand_whatever_becomes_of_them(redis: RedisServer) -> None:
    # Without them, nothing would mend what else is lost.
    class Nobody:
        async def send(self, channel: str, message: dict[str, Any], /) -> None: ...

    for store in (RedisStore.from_url(redis.url), MemoryStore()):
        standing = [NewEntry(key, "x", b"", 60_000) for key in ("removed", "died")]
        scheduler = Scheduler(store, Nobody(), standing=standing, cap=20)
        scheduler.beat_ttl = 100
        running = asyncio.ensure_future(scheduler.run())

        async def there(store: Any = store) -> bool:
            return all(each and each.due for each in await store.peek(["removed", "died"]))

        await until(there)
        await store.remove(["removed", "died"])
        await until(there)
        if isinstance(store, RedisStore):
            redis.cli("ZREM", "{delay.0}:at:x", "removed")
            redis.cli("HSET", "{delay.0}:entries", "died", "nonsense")
            await until(there)
            redis.cli("DEL", "{delay.0}:entries")
            await until(there)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.aclose()
