"""What only the Redis store has: clocks that step, keys that others wrote, servers that go away, shards."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from progrock.delay import Again, Dead, Done, Lease, NewEntry, RedisStore, Scheduler, StoreAway, StoreUnfit
from tests.conftest import until
from tests.delay.conftest import Bench, redis_bench
from tests.redis import RedisCluster, RedisSentinel, RedisServer

HAND_OFF, RUN = 5_000, 15_000
HOUR = 3_600_000

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


@pytest.fixture
async def clocked(redis: RedisServer) -> AsyncIterator[Bench]:
    """A store whose host's clock is ours."""
    bench = await redis_bench(redis)
    yield bench
    await bench.store.aclose()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


def command(store: Any) -> Callable[..., Awaitable[Any]]:
    """Return what sends single commands to the store's Redis."""
    send: Callable[..., Awaitable[Any]] = store._scripts.command
    return send


async def put(store: RedisStore, *keys: str, delay: int = 0) -> None:
    await store.announce("c", "c.one", 100, 600_000)
    await store.schedule([NewEntry(key, "c", b"m", delay) for key in keys])


async def take(store: RedisStore, limit: int = 100) -> list[Lease]:
    """Lease and renew."""
    return [lease for lease in await store.renew(await store.lease(limit, HAND_OFF), RUN, "c.one") if lease]


class TestTheClock:
    async def test_a_host_clock_that_steps_back_makes_nothing_late(self, clocked: Bench) -> None:
        store: Any = clocked.store
        await put(store, "k", delay=500)
        before = (await store.status()).now
        await clocked.advance(-HOUR)
        assert (await store.status()).now == before
        await clocked.advance(500)
        (lease,) = await take(store)
        assert lease.at == before + 500_000
        assert await store.settle([(lease, Done())]) == [True]

    async def test_a_host_clock_that_steps_forward_makes_early_and_doubles_nothing(self, clocked: Bench) -> None:
        store: Any = clocked.store
        await put(store, "held", "waiting", delay=0)
        (held,) = await take(store, limit=1)
        await clocked.advance(HOUR)
        await store.announce("c", "c.one", 100, 600_000)
        again = await take(store)
        assert len(again) == 2
        assert await store.settle([(held, Again(0))]) == [False]
        await clocked.advance(-HOUR)
        assert await store.settle([(lease, Done()) for lease in again]) == [True, True]
        assert await store.depth() == 0

    async def test_it_goes_on_from_where_it_was_each_time(self, clocked: Bench) -> None:
        store, last = clocked.store, 0
        for step in (-HOUR, 5, -HOUR, HOUR, -1, 1, -2 * HOUR):
            await clocked.advance(step)
            now = (await store.status()).now
            assert now >= last
            last = now
        await clocked.advance(10)
        assert (await store.status()).now == last + 10_000


class TestOtherHands:
    async def test_forgotten_scripts_are_sent_again(self, redis_store: RedisStore) -> None:
        await put(redis_store, "k")
        await command(redis_store)("SCRIPT", "FLUSH")
        assert len(await take(redis_store)) == 1

    async def test_an_entry_without_a_due_time_is_as_good_as_none(self, redis_store: RedisStore) -> None:
        await put(redis_store, "k")
        await command(redis_store)("ZREM", "{delay.0}:at:c", "k")
        assert await redis_store.peek(["k"]) == [None]
        assert await redis_store.schedule([NewEntry("k", "c", b"again")]) != [None]
        assert [lease.message for lease in await take(redis_store)] == [b"again"]

    async def test_a_due_time_without_an_entry_is_forgotten(self, redis_store: RedisStore) -> None:
        await put(redis_store, "gone", "there")
        await redis_store.nudge(["gone"])
        await command(redis_store)("HDEL", "{delay.0}:entries", "gone")
        assert [lease.key for lease in await take(redis_store)] == ["there"]
        assert await command(redis_store)("ZCARD", "{delay.0}:at:c") == 0
        assert await command(redis_store)("SCARD", "{delay.0}:nudged") == 0

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (b"k", b""),
            (b"k", b"nonsense"),
            (b"k", b"1 c"),
            (b"k", b"x c m"),
            (b"k", b"1 \xff m"),
            (b"\xff\xfe", b"1 c m"),
            (b"k", b" " * 5_000),
            (b"k", b"9" * 30 + b" c m"),
            (b"k", b"9" * 5_000 + b" c m"),
            (b"k", b"-1 c m"),
            (b"k", b"1_0 c m"),
        ],
    )
    async def test_an_entry_that_makes_no_sense_dies_and_the_others_live(
        self, redis_store: RedisStore, caplog: pytest.LogCaptureFixture, key: bytes, value: bytes
    ) -> None:
        await put(redis_store, "fine")
        await command(redis_store)("HSET", "{delay.0}:entries", key, value)
        await command(redis_store)("ZADD", "{delay.0}:at:c", 1, key)
        assert [lease.key for lease in await take(redis_store)] == ["fine"]
        assert caplog.text.count("put aside as dead") == 1
        (dead,) = await redis_store.dead(10)
        assert dead.reason.startswith("Expected")
        assert await redis_store.lease(10, HAND_OFF) == []
        assert await redis_store.remove([dead.key]) == 1
        assert await redis_store.depth() == 1

    @pytest.mark.parametrize("score", ["-inf", "-5", "1.5", "0", "1e3"])
    async def test_a_due_time_that_makes_no_sense_is_due_now(self, redis_store: RedisStore, score: str) -> None:
        await put(redis_store, "k", delay=60_000)
        await command(redis_store)("ZADD", "{delay.0}:at:c", score, "k")
        (lease,) = await take(redis_store)
        assert await redis_store.settle([(lease, Done())]) == [True]

    @pytest.mark.parametrize("record", ["", "x", "1 2", "-1 5 c", "1 2 ", "99999999999999999999 1 c"])
    async def test_a_reader_that_makes_no_sense_is_nobody(self, redis_store: RedisStore, record: str) -> None:
        await put(redis_store, "k")
        await command(redis_store)("HSET", "{delay.0}:readers", "c.bad", record)
        assert [lease.reader for lease in await take(redis_store)] == ["c.one"]
        assert "c.bad" not in [reader.name for reader in (await redis_store.status()).readers]

    async def test_a_reader_whose_name_is_no_text_gets_nothing_for_long(
        self, redis_store: RedisStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        await put(redis_store, "k")
        await command(redis_store)("HSET", "{delay.0}:readers", b"\xff", "1000 99999999999999999 c")
        assert await redis_store.lease(10, 1) == []
        assert caplog.text.count("is dismissed") == 1
        await until(lambda: take(redis_store))
        assert await redis_store.dead(10) == []
        assert [reader.name for reader in (await redis_store.status()).readers] == ["c.one"]

    async def test_what_is_held_by_a_reader_that_makes_no_sense_comes_due_again(self, clocked: Bench) -> None:
        store: Any = clocked.store
        await put(store, "k")
        await take(store)
        await command(store)("HSET", "{delay.0}:readers", "c.one", "garbage")
        await store.announce("c", "c.two", 5, 600_000)
        await clocked.advance(RUN)
        assert [(lease.key, lease.reader) for lease in await store.lease(10, HAND_OFF)] == [("k", "c.two")]

    async def test_who_holds_an_entry_that_was_deleted_by_hand_and_made_anew_is_refused(
        self, redis_store: RedisStore
    ) -> None:
        await put(redis_store, "k")
        (old,) = await take(redis_store)
        await command(redis_store)("DEL", "{delay.0}:entries")
        await redis_store.schedule([NewEntry("k", "c", b"anew")])
        await redis_store.announce("c", "c.one", 0, 0)
        await redis_store.announce("c", "c.two", 5, 600_000)
        (new,) = await redis_store.lease(10, HAND_OFF)
        assert await redis_store.settle([(old, Again(0)), (new, Done())]) == [False, True]

    async def test_who_died_and_was_deleted_by_hand_can_be_forgotten_or_made_anew(
        self, redis_store: RedisStore
    ) -> None:
        await put(redis_store, "removed", "anew")
        await redis_store.nudge(["removed", "anew"])
        await redis_store.settle([(lease, Dead("why")) for lease in await take(redis_store)])
        await command(redis_store)("DEL", "{delay.0}:entries")
        assert await redis_store.remove(["removed"]) == 1
        await put(redis_store, "anew")
        assert await redis_store.dead(10) == []
        assert [lease.key for lease in await take(redis_store)] == ["anew"]
        assert await command(redis_store)("EXISTS", "{delay.0}:nudged", "{delay.0}:reasons") == 0

    @pytest.mark.parametrize("field", ["last", "offset", "open", "stood"])
    @pytest.mark.parametrize("value", ["garbage", "", "nan", "inf", "-inf", "-5", "1.5", "1e300", "9" * 20])
    async def test_a_clock_that_makes_no_sense_begins_anew(
        self, redis_store: RedisStore, field: str, value: str
    ) -> None:
        await put(redis_store, "k")
        before = (await redis_store.status()).now
        await command(redis_store)("HSET", "{delay.0}:clock", field, value)
        await redis_store.sleep(1)
        assert len(await take(redis_store)) == 1
        assert 0 < (await redis_store.status()).now - before < 10_000_000

    @pytest.mark.parametrize(
        "name",
        ["entries", "readers", "nudged", "dead", "reasons", "channels", "clock", "schedulers", "at:c", "at:c.one"],
    )
    async def test_a_key_of_the_wrong_type_is_put_aside(
        self, redis_store: RedisStore, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = f"{{delay.0}}:{name}"
        await put(redis_store, "k")
        await command(redis_store)("DEL", key)
        await command(redis_store)("SET", key, "somebody else's")

        async def works() -> bool:
            try:
                await redis_store.beat("s", 5_000)
                await put(redis_store, uuid.uuid4().hex)
                (lease, *_) = await take(redis_store)
                await redis_store.nudge([lease.key])
                await redis_store.settle([(lease, Dead("why"))])
                return bool(await redis_store.dead(10)) and bool((await redis_store.status()).readers)
            except (StoreAway, ValueError):
                return False

        await until(works)
        assert f"{key}:broken:" in caplog.text
        (aside,) = await command(redis_store)("KEYS", f"{key}:broken:*")
        assert await command(redis_store)("GET", aside) == b"somebody else's"

    async def test_a_flushed_store_gets_its_standing_entries_back(self, redis_store: RedisStore, tasks: Run) -> None:
        class Nobody:
            async def send(self, channel: str, message: dict[str, Any], /) -> None: ...

        tasks(Scheduler(redis_store, Nobody(), standing=[NewEntry("standing", "x", b"")], cap=50).run())
        await until(redis_store.depth)
        await command(redis_store)("FLUSHALL")
        await until(redis_store.depth)
        assert (await redis_store.peek(["standing"]))[0] is not None

    async def test_two_prefixes_on_one_redis_know_nothing_of_each_other(self, redis: RedisServer) -> None:
        one, other = (RedisStore.from_url(redis.url, prefix=prefix) for prefix in ("one", "other"))
        await put(one, "k")
        assert await other.depth() == 0
        assert await other.lease(10, HAND_OFF) == []
        await put(other, "k")
        assert await one.remove(["k"]) == 1
        assert await other.depth() == 1
        await one.aclose()
        await other.aclose()


class TestTheServer:
    async def test_connections_that_are_cut_are_made_again(self, redis_store: RedisStore) -> None:
        await put(redis_store, "k", delay=60_000)
        sleeping = asyncio.create_task(redis_store.sleep(600_000))
        await until(lambda: _listeners(redis_store, 1))
        for kind in ("pubsub", "normal"):
            await command(redis_store)("CLIENT", "KILL", "TYPE", kind)
        await until(lambda: _listeners(redis_store, 1))
        await redis_store.nudge(["k"])
        await asyncio.wait_for(sleeping, 60)

    async def test_whoever_is_cancelled_ends_and_leaves_no_reply_to_another(self, redis_store: RedisStore) -> None:
        await put(redis_store, *(f"k{n}" for n in range(10)), delay=60_000)
        seen: list[tuple[str, list[str]]] = []

        async def ask(key: str) -> None:
            while True:
                seen.append((key, [entry.key for entry in await redis_store.peek([key]) if entry]))
                assert await redis_store.depth() == 10

        for _ in range(50):
            asking = [asyncio.create_task(ask(f"k{n}")) for n in range(10)]
            await asyncio.sleep(random.random() / 50)
            for task in asking:
                task.cancel()
            _, late = await asyncio.wait(asking, timeout=5)
            for task in late:
                task.cancel()  # or the test would not end either
            assert not late
            assert all(task.cancelled() for task in asking)
        assert seen
        assert all(got == [asked] for asked, got in seen)

    async def test_a_redis_without_memory_says_so_and_goes_on_later(
        self, redis: RedisServer, redis_store: RedisStore
    ) -> None:
        await put(redis_store, "k")
        redis.cli("CONFIG", "SET", "maxmemory", 1)
        try:
            with pytest.raises(StoreAway, match=r"OOM|memory"):
                await redis_store.schedule([NewEntry("new", "c", b"m")])
        finally:
            redis.cli("CONFIG", "SET", "maxmemory", 0)
        assert await redis_store.schedule([NewEntry("new", "c", b"m")]) != [None]
        assert await redis_store.depth() == 2

    async def test_a_replica_is_taken_for_a_store_that_is_away(self, redis_store: RedisStore) -> None:
        with RedisServer() as other:
            await put(redis_store, "k")
            await command(redis_store)("REPLICAOF", "127.0.0.1", other.port)
            try:
                with pytest.raises(StoreAway):
                    await redis_store.lease(10, HAND_OFF)
            finally:
                await command(redis_store)("REPLICAOF", "NO", "ONE")

    @pytest.mark.parametrize(
        "url", ["redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m"]
    )
    async def test_nobody_there_is_said_as_such(self, url: str) -> None:
        async with aclosing(RedisStore.from_url(url)) as store:
            with pytest.raises(StoreAway, match=r"^HLEN: "):
                await store.depth()
            with pytest.raises(StoreAway, match=r"^lease: "):
                await store.lease(1, 1)
            with pytest.raises(StoreAway, match=r"^INFO: "):
                await store.check()

    async def test_a_policy_that_loses_entries_is_refused(self, redis: RedisServer, redis_store: RedisStore) -> None:
        await redis_store.check()
        redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(StoreUnfit, match=r"got maxmemory-policy allkeys-lru.*noeviction"):
                await redis_store.check()
        finally:
            redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")

    @pytest.mark.parametrize("version", ["6.2.14", "5.0", "unknown"])
    async def test_an_old_redis_is_refused(
        self, redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        async def info(word: str) -> dict[str, dict[str, str]]:
            return {"": {"redis_version": version, "maxmemory_policy": "noeviction"}}

        monkeypatch.setattr(redis_store._scripts, "everywhere", info)
        with pytest.raises(StoreUnfit, match=f"Expected Redis 7 or newer, or Valkey, got {version}"):
            await redis_store.check()

    async def test_an_entry_takes_less_than_400_bytes(self, redis_store: RedisStore) -> None:
        async def used() -> int:
            return int((await command(redis_store)("INFO", "memory"))["used_memory"])

        before = await used()
        for _ in range(20):
            await redis_store.schedule([NewEntry(str(uuid.uuid4()), "c", b"m" * 100, 60_000) for _ in range(1000)])
        assert (await used() - before) / 20_000 < 400

    async def test_a_thousand_and_more_in_one_call(self, redis_store: RedisStore) -> None:
        keys = [f"{n}" for n in range(6_000)]
        await redis_store.announce("c", "c.one", 10_000, 600_000)
        assert len(await redis_store.schedule([NewEntry(key, "c", b"m") for key in keys])) == 6_000
        assert await redis_store.nudge(keys) == 6_000
        leases = await redis_store.lease(6_000, HAND_OFF)
        renewed = [lease for lease in await redis_store.renew(leases, RUN, "c.one") if lease]
        assert len(renewed) == 6_000
        assert all(lease.nudged for lease in renewed)
        half = len(renewed) // 2
        outcomes: list[Any] = [(lease, Again(0, b"n")) for lease in renewed[:half]]
        outcomes += [(lease, Dead("why")) for lease in renewed[half:]]
        assert await redis_store.settle(outcomes) == [True] * 6_000
        assert await redis_store.revive(keys) == 3_000
        assert len(await redis_store.peek(keys)) == 6_000
        assert await redis_store.remove(keys) == 6_000
        assert await redis_store.depth() == 0

    async def test_when_all_is_done_only_the_store_s_own_keys_are_left(self, redis_store: RedisStore) -> None:
        await put(redis_store, "done", "dead", "removed", "nudged")
        await redis_store.nudge(["nudged", "dead"])
        for lease in await take(redis_store):
            outcome = Dead("why") if lease.key == "dead" else Done()
            await redis_store.settle([(lease, outcome)])
        await redis_store.remove(["dead"])
        await redis_store.announce("c", "c.one", 0, 0)
        await redis_store.lease(1, 1)
        await redis_store.status()
        left = {key.decode() for key in await command(redis_store)("KEYS", "*")}
        assert left == {"{delay.0}:clock"}


async def _listeners(store: RedisStore, count: int) -> bool:
    try:
        return bool((await command(store)("PUBSUB", "NUMSUB", "{delay.0}:wake"))[1] == count)
    except (StoreAway, RedisError):
        return False


class TestStandingEntries:
    async def test_come_back_after_a_flush(self, redis_store: RedisStore) -> None:
        standing = [NewEntry("one", "c", b""), NewEntry("two", "c", b"")]
        await redis_store.stand(standing)
        await command(redis_store)("FLUSHALL")
        await redis_store.lease(1, 1)
        assert await redis_store.stand(standing)
        assert await redis_store.depth() == 2

    @pytest.mark.parametrize("mark", ["1", "garbage", "[1]", "{}", b"\xff"])
    async def test_come_to_a_store_with_a_marker_of_other_hands(
        self, redis_store: RedisStore, mark: str | bytes
    ) -> None:
        await command(redis_store)("HSET", "{delay.0}:clock", "stood", mark)
        await redis_store.lease(1, 1)
        assert await redis_store.stand([NewEntry("one", "c", b"")])
        assert not await redis_store.stand([NewEntry("one", "c", b"")])

    async def test_of_two_versions_are_made_once_each(self, redis_store: RedisStore, redis: RedisServer) -> None:
        other = RedisStore.from_url(redis.url)
        one, two = [NewEntry("one", "c", b"")], [NewEntry("two", "c", b"")]
        assert await redis_store.stand(one)
        assert await other.stand(two)
        for store, standing in [(redis_store, one), (other, two)] * 2:
            await store.lease(1, 1)
            assert not await store.stand(standing)
        await other.aclose()


class TestShards:
    async def _go_round(self, store: RedisStore) -> None:
        """Take entries through a whole life."""
        keys = [f"k{n}" for n in range(60)]
        await store.check()
        assert await store.stand([NewEntry("standing", "x", b"")])
        assert not await store.stand([NewEntry("standing", "x", b"")])
        await store.announce("c", "c.one", 120, 600_000)
        await store.beat("s", 60_000)
        assert None not in await store.schedule([NewEntry(key, "c", key.encode()) for key in keys])
        assert None not in await store.peek(keys)
        assert await store.nudge(keys[:10]) == 10
        leases: list[Lease] = []
        while some := await store.lease(100, HAND_OFF):
            leases += some
        assert sorted(lease.key for lease in leases) == sorted(keys)
        renewed = [lease for lease in await store.renew(leases, RUN, "c.one") if lease]
        assert sum(lease.nudged for lease in renewed) == 10
        outcomes: list[Any] = [(lease, Dead("why") if lease.key == "k7" else Again(60_000)) for lease in renewed]
        assert await store.settle(outcomes) == [True] * 60
        assert await store.settle(outcomes) == [False] * 60
        status = await store.status()
        assert (status.waiting, status.held, status.dead, status.schedulers) == (60, 0, 1, ["s"])
        assert [reader.name for reader in status.readers] == ["c.one"]
        assert await store.revive(["k7"]) == 1
        assert await store.remove(keys) == 60
        assert await store.depth() == 1

    async def test_many_shards_on_one_redis(self, redis: RedisServer) -> None:
        async with aclosing(RedisStore.from_url(redis.url, shards=3)) as store:
            await self._go_round(store)

    async def test_together_no_more_than_the_limit_and_nobody_waits_for_ever(self, redis: RedisServer) -> None:
        async with aclosing(RedisStore.from_url(redis.url, shards=3)) as store:
            await put(store, *(f"k{n}" for n in range(30)))
            sizes = [len(await store.lease(limit, HAND_OFF)) for limit in (-1, 0, 1, 2, 3, 4, 5)]
            assert all(size <= max(limit, 0) for size, limit in zip(sizes, (-1, 0, 1, 2, 3, 4, 5), strict=True))
            assert sizes[2] + sizes[3] + sizes[4] >= 3

            async def all_taken() -> bool:
                await store.lease(1, HAND_OFF)
                return (await store.status()).held == 30

            await until(all_taken)

    async def test_a_cluster(self, cluster: RedisCluster) -> None:
        async with aclosing(RedisStore.from_url(cluster.url, prefix="go", shards=6)) as store:
            await self._go_round(store)
        busy = [node for node in cluster.nodes if node.cli("KEYS", "{go.*")]
        assert len(busy) >= 2

    async def test_each_node_of_a_cluster_must_be_fit(self, cluster: RedisCluster) -> None:
        async with aclosing(RedisStore.from_url(cluster.url)) as store:
            assert set(await store.about()) == {node.address for node in cluster.nodes}
            for node in cluster.nodes:
                await store.check()
                node.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
                try:
                    with pytest.raises(StoreUnfit, match="allkeys-lru"):
                        await store.check()
                finally:
                    node.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")

    async def test_all_keys_of_a_shard_are_in_one_slot(self, cluster: RedisCluster) -> None:
        async with aclosing(RedisStore.from_url(cluster.url, prefix="slots", shards=6)) as store:
            await put(store, *(f"{{odd}} {n}" for n in range(30)))
        slots: dict[str, set[str]] = {}
        for node in cluster.nodes:
            for key in node.cli("KEYS", "{slots.*").split():
                slots.setdefault(key.partition("}")[0], set()).add(node.cli("CLUSTER", "KEYSLOT", key))
        assert len(slots) == 6
        assert all(len(each) == 1 for each in slots.values())

    async def test_a_cluster_wakes_a_sleeper(self, cluster: RedisCluster) -> None:
        async with aclosing(RedisStore.from_url(cluster.url, prefix="wake", shards=2)) as store:
            await store.announce("c", "c.one", 10, 600_000)
            await store.sleep(5_000)  # until it can hear
            await store.lease(1, 1)
            sleeping = asyncio.create_task(store.sleep(600_000))
            await asyncio.sleep(0)
            await store.schedule([NewEntry(f"{n}", "c", b"") for n in range(10)])
            await asyncio.wait_for(sleeping, 60)

    async def test_behind_a_sentinel(self) -> None:
        with RedisSentinel() as sentinel:
            async with aclosing(RedisStore.from_url(f"{sentinel.url}?socket_timeout=4")) as store:
                await self._go_round(store)
            await until(lambda: "cmd=sentinel|masters" not in sentinel.sentinel.cli("CLIENT", "LIST"))

    async def test_a_socket_file(self, tmp_path: Path) -> None:
        with RedisServer(config=[f"unixsocket {tmp_path}/redis.sock"]):
            async with aclosing(RedisStore.from_url(f"unix://{tmp_path}/redis.sock?db=1")) as store:
                await self._go_round(store)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1", "Expected a URL that starts with one of redis://"),
        ("127.0.0.1:6379", "Expected a URL that starts with"),
        ("redis+cluster://127.0.0.1", "Expected host:port,host:port"),
        ("redis+cluster://a:1,b", "Expected host:port,host:port"),
        ("redis+sentinel://a:1", "got no service"),
        ("redis+sentinel://a:1/m/x", "invalid literal"),
        ("redis://a:port/0", "Port could not be cast"),
        ("redis://a/0?socket_timeout=soon", "Invalid value for 'socket_timeout'"),
        ("redis://a/0?nonsense=3", "Expected options that redis-py knows .*'nonsense'"),
        ("redis+cluster://a:1?nonsense=3", "Expected options that redis-py knows .*'nonsense'"),
        ("redis+sentinel://a:1/m/0?nonsense=3", "Expected options that redis-py knows .*'nonsense'"),
    ],
)
def test_a_url_of_the_wrong_form_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        RedisStore.from_url(url)


async def test_two_loops_have_connections_of_their_own(redis: RedisServer, redis_store: RedisStore) -> None:
    await put(redis_store, "k")

    async def elsewhere() -> int:
        try:
            return await redis_store.depth()
        finally:
            await redis_store.aclose()

    assert await asyncio.to_thread(lambda: asyncio.run(elsewhere())) == 1
    assert await redis_store.depth() == 1
