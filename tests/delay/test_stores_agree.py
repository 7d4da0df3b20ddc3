"""The two stores, driven with the same operations, answer the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from progrock.delay import Again, Dead, DelayStore, Done, Entry, Lease, NewEntry, RedisStore, Status
from tests.delay.conftest import Bench, memory_bench, redis_bench
from tests.redis import RedisServer

KEYS = ["a", "b", "c", "d"]
CHANNELS = {"x": ["x.one", "x.two"], "y": ["y.one"]}
READERS = [(channel, reader) for channel, readers in CHANNELS.items() for reader in readers]

keys = st.lists(st.sampled_from(KEYS), max_size=4)
milliseconds = st.sampled_from([0, 1, 5, 40, 1_000])
durations = st.sampled_from([1, 5, 1_000])
numbers = st.lists(st.integers(min_value=0, max_value=30), max_size=4)
outcomes = st.one_of(
    st.builds(
        Again,
        delay=milliseconds,
        message=st.sampled_from([None, b"", b"new \x00 message"]),
        attempt=st.sampled_from([1, 3]),
        nudged=st.booleans(),
    ),
    st.just(Done()),
    st.just(Dead("why")),
)


class Agreement(RuleBasedStateMachine):
    """Does everything twice, and compares."""

    def __init__(self, server: RedisServer, runner: asyncio.Runner) -> None:
        super().__init__()
        self._server = server
        self._runner = runner
        # Every lease that was ever given, by both in the same order: old ones are what fencing is about.
        self._leases: list[tuple[Lease, Lease]] = []

    @initialize()
    def begin(self) -> None:
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        self.memory = memory_bench()
        self.redis = await redis_bench(self._server, listening=False)
        store = self.redis.store
        assert isinstance(store, RedisStore)
        self._command = store._scripts.command

    def teardown(self) -> None:
        if hasattr(self, "redis"):
            self._runner.run(self.redis.store.aclose())

    def both(self, do: Callable[[DelayStore], Coroutine[Any, Any, Any]]) -> tuple[Any, Any]:
        """Do the same with both stores and return what they answer."""

        async def each() -> tuple[Any, Any]:
            return await do(self.memory.store), await do(self.redis.store)

        return self._runner.run(each())

    def agree(self, do: Callable[[DelayStore], Coroutine[Any, Any, Any]]) -> Any:
        memory, redis = self.both(do)
        assert memory == redis
        return memory

    @rule(delay=milliseconds)
    def time_passes(self, delay: int) -> None:
        self._advance(delay)

    def _advance(self, delay: float) -> None:
        async def advance(bench: Bench) -> None:
            await bench.advance(delay)

        self._runner.run(advance(self.memory))
        self._runner.run(advance(self.redis))

    @rule(some=keys, channel=st.sampled_from(list(CHANNELS)), delay=milliseconds, replace=st.booleans())
    def schedule(self, some: list[str], channel: str, delay: int, replace: bool) -> None:
        entries = [NewEntry(key, channel, key.encode() * 3, delay) for key in some]
        receipts = self.agree(lambda store: store.schedule(entries, replace=replace))
        for new, due in zip(entries, receipts, strict=True):
            if due is not None:
                lease = Lease(new.key, channel, new.message, due, due, due)
                self._leases.append((lease, lease))

    @rule(limit=st.sampled_from([1, 2, 10]), duration=durations, gap=st.sampled_from([0, 0, 5]))
    def lease(self, limit: int, duration: int, gap: int) -> None:
        memory, redis = self.both(lambda store: store.lease(limit, duration, gap))
        assert memory == redis
        self._leases += zip(memory, redis, strict=True)

    @rule(which=numbers, duration=durations, reader=st.sampled_from(READERS))
    def renew(self, which: list[int], duration: int, reader: tuple[str, str]) -> None:
        some = self._some(which, reader[0])
        memory = self._runner.run(self.memory.store.renew([each for each, _ in some], duration, reader[1]))
        redis = self._runner.run(self.redis.store.renew([each for _, each in some], duration, reader[1]))
        assert memory == redis
        self._leases += [(a, b) for a, b in zip(memory, redis, strict=True) if a is not None and b is not None]

    @rule(which=numbers, outcome=outcomes)
    def settle(self, which: list[int], outcome: Any) -> None:
        some = self._some(which)
        memory = self._runner.run(self.memory.store.settle([(each, outcome) for each, _ in some]))
        redis = self._runner.run(self.redis.store.settle([(each, outcome) for _, each in some]))
        assert memory == redis

    def _some(self, which: list[int], channel: str | None = None) -> list[tuple[Lease, Lease]]:
        """Return leases counted from the newest, so that good ones are among them; one may be there twice."""
        known = [pair for pair in self._leases if channel in (None, pair[0].channel)]
        return [known[-1 - number] for number in which if number < len(known)]

    @rule(some=keys)
    def nudge(self, some: list[str]) -> None:
        self.agree(lambda store: store.nudge(some))

    @rule(some=keys)
    def remove(self, some: list[str]) -> None:
        self.agree(lambda store: store.remove(some))

    @rule(some=keys)
    def revive(self, some: list[str]) -> None:
        self.agree(lambda store: store.revive(some))

    @rule(reader=st.sampled_from(READERS), slots=st.sampled_from([0, 1, 2, 10]), ttl=st.sampled_from([1, 1_000, 10**6]))
    def announce(self, reader: tuple[str, str], slots: int, ttl: int) -> None:
        self.agree(lambda store: store.announce(*reader, slots, ttl))

    @rule(ttl=st.sampled_from([0, 5, 1_000]), name=st.sampled_from(["s", "t"]))
    def beat(self, name: str, ttl: int) -> None:
        self.agree(lambda store: store.beat(name, ttl))

    @rule(some=st.sets(st.sampled_from("ab"), min_size=1), delay=milliseconds)
    def stand(self, some: set[str], delay: int) -> None:
        self.agree(lambda store: store.stand([NewEntry(key, "x", b"standing", delay) for key in sorted(some)]))

    @invariant()
    def tell_the_same(self) -> None:
        if not hasattr(self, "redis"):
            return
        # No two operations happen in the same microsecond: a receipt is a time.
        self._advance(0.007)
        self.agree(lambda store: store.peek(KEYS))
        self.agree(lambda store: store.depth())
        memory, redis = self.both(lambda store: store.dead(100))
        assert sorted(memory, key=_key) == sorted(redis, key=_key)
        memory, redis = self.both(lambda store: store.status())
        assert _in_order(memory) == _in_order(redis)

    @invariant()
    def keep_each_entry_in_one_place(self) -> None:
        if hasattr(self, "redis"):
            self._runner.run(self._look_into_redis())

    async def _look_into_redis(self) -> None:
        places = await self._command("KEYS", "{delay.0}:at:*")
        held = [key for place in places for key in await self._command("ZRANGE", place, 0, -1)]
        dead = await self._command("ZRANGE", "{delay.0}:dead", 0, -1)
        entries = await self._command("HKEYS", "{delay.0}:entries")
        assert sorted(held + dead) == sorted(entries)
        assert set(await self._command("SMEMBERS", "{delay.0}:nudged")) <= set(entries)
        assert set(await self._command("HKEYS", "{delay.0}:reasons")) == set(dead)


def _key(entry: Entry) -> str:
    return entry.key


def _in_order(status: Status) -> Any:
    return (
        status.now,
        status.waiting,
        status.overdue,
        status.held,
        status.dead,
        sorted(status.readers, key=lambda reader: reader.name),
        sorted(status.schedulers),
    )


def test_memory_and_redis_agree(redis: RedisServer) -> None:
    with asyncio.Runner() as runner:

        class Machine(Agreement):
            def __init__(self) -> None:
                super().__init__(redis, runner)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=50,
                phases=(Phase.generate,),
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
