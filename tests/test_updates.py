"""The hub: updates reach exactly those who watch."""

from __future__ import annotations

import asyncio
import json

import pytest
from channels.layers import get_channel_layer

from progrock import updates
from progrock.protocol import Snapshot, State
from progrock.updates import Hub, Update, publish
from tests.conftest import until
from tests.ear import Ear


def snapshot(job: str, seq: int = 1) -> Snapshot:
    return Snapshot(job, "s", "t", State.RUNNING, created=0, seq=seq, percent=5)


@pytest.fixture
async def hub() -> Hub:
    return updates.hub()


async def test_a_job_is_heard_by_those_who_watch_it_and_by_those_who_watch_its_owner(hub: Hub) -> None:
    one, mine, other, stranger = Ear(), Ear(), Ear(), Ear()
    await hub.watch("me", "a", one)
    await hub.watch("me", "", mine)
    await hub.watch("me", "b", other)
    await hub.watch("you", "a", stranger)
    await publish([("me", snapshot("a")), ("me", snapshot("c"))])
    await until(lambda: mine.jobs == ["a", "c"])
    assert one.jobs == ["a"]
    assert other.jobs == []
    assert stranger.jobs == []
    assert json.loads(one.heard[0].body)["percent"] == 5


async def test_a_batch_is_one_message_for_each_shard(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    layer = get_channel_layer()

    async def group_send(group: str, message: object) -> None:
        sent.append(group)

    monkeypatch.setattr(layer, "group_send", group_send)
    await publish([("me", snapshot(str(n))) for n in range(100)])
    assert len(sent) == 1
    await publish([(f"owner {n}", snapshot(str(n))) for n in range(1_000)])
    assert len(sent) - 1 == updates.SHARDS


async def test_who_no_longer_watches_hears_nothing_and_nothing_is_left(hub: Hub) -> None:
    ear = Ear()
    for _ in range(2):
        await hub.watch("me", "a", ear)
        await hub.watch("me", "a", ear)
        await hub.unwatch("me", "a", ear)
        await hub.unwatch("me", "a", ear)
        await publish([("me", snapshot("a"))])
        await asyncio.sleep(0.02)
        assert ear.heard == []
        assert not hub._sinks
        assert not hub._topics
        assert not hub._joined
        assert not get_channel_layer().groups
    await hub.watch("me", "a", ear)
    await publish([("me", snapshot("a"))])
    await until(lambda: ear.jobs == ["a"])
    await hub.unwatch("me", "a", ear)


@pytest.mark.parametrize("call", ["new_channel", "group_add"])
async def test_a_layer_that_was_away_when_the_first_came_is_joined_by_the_next(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    first, second = Ear(), Ear()
    with monkeypatch.context() as patch:
        patch.setattr(get_channel_layer(), call, away)
        # Who watches is told how it stands whether the layer is there or not.
        await hub.watch("me", "a", first)
    await hub.watch("me", "a", second)
    await publish([("me", snapshot("a"))])
    await until(lambda: second.jobs == ["a"] == first.jobs)
    await hub.leave([("me", "a")], first)
    await hub.leave([("me", "a")], second)
    assert not hub._joined
    assert not get_channel_layer().groups


async def test_a_layer_that_is_away_when_the_last_leaves_holds_nobody(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    await hub.watch("me", "a", ear)
    with monkeypatch.context() as patch:
        patch.setattr(get_channel_layer(), "group_discard", away)
        await hub.unwatch("me", "a", ear)
    assert not hub._sinks
    assert not hub._tasks
    await hub.watch("me", "a", ear)
    await publish([("me", snapshot("a"))])
    await until(lambda: ear.jobs == ["a"])
    await hub.unwatch("me", "a", ear)


async def test_all_watches_are_undone_though_it_is_broken_off(hub: Hub) -> None:
    ear = Ear()
    for job in ("a", "b", "c"):
        await hub.watch("me", job, ear)
    await hub._turn.acquire()  # as while a layer takes its time
    leaving = asyncio.create_task(hub.leave([("me", "a"), ("me", "b"), ("me", "c")], ear))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    hub._turn.release()
    assert leaving.cancelled()
    assert not hub._sinks


async def away(*args: object) -> None:
    raise ConnectionError("gone")


async def test_a_group_that_was_forgotten_is_joined_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "REJOIN", 0.02)
    ear = Ear()
    await hub.watch("me", "a", ear)
    get_channel_layer().groups.clear()

    async def heard() -> bool:
        await publish([("me", snapshot("a"))])
        return bool(ear.heard)

    await until(heard)
    await hub.unwatch("me", "a", ear)


async def test_garbage_on_its_channel_does_not_deafen_it(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()
    await hub.watch("me", "a", ear)
    for message in ({"type": "x"}, {"updates": b"\xc1"}, {"updates": "text"}):
        await get_channel_layer().send(hub._channel, message)
    await publish([("me", snapshot("a"))])
    await until(lambda: ear.jobs == ["a"])
    assert caplog.text.count("The hub dropped a message") == 3
    await hub.unwatch("me", "a", ear)


async def test_a_layer_that_is_away_stops_nobody(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(group: str, message: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(get_channel_layer(), "group_send", away)
    await publish([("me", snapshot("a"))])
    assert "Could not publish 1 updates" in caplog.text


async def test_a_sink_may_leave_while_it_is_told(hub: Hub) -> None:
    class Leaving(Ear):
        def deliver(self, update: Update) -> bool:
            hub._sinks["me", "a"].discard(self)
            return super().deliver(update)

    ears = [Leaving(), Leaving(), Ear()]
    for ear in ears:
        await hub.watch("me", "a", ear)
    await publish([("me", snapshot("a"))])
    await until(lambda: all(ear.jobs == ["a"] for ear in ears), within=2)
    await hub.unwatch("me", "a", ears[2])


async def test_when_nobody_watches_no_task_is_left(hub: Hub) -> None:
    ear = Ear()
    await hub.watch("me", "a", ear)
    tasks = list(hub._tasks)
    await hub.unwatch("me", "a", ear)
    await asyncio.wait(tasks, timeout=2)
    assert all(task.done() for task in tasks)


async def test_who_comes_while_the_last_one_leaves_is_joined(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = get_channel_layer()
    discard = layer.group_discard

    async def slow(group: str, channel: str) -> None:
        await asyncio.sleep(0.05)
        await discard(group, channel)

    monkeypatch.setattr(layer, "group_discard", slow)
    first, second = Ear(), Ear()
    await hub.watch("me", "a", first)
    await asyncio.gather(hub.unwatch("me", "a", first), hub.watch("me", "b", second))
    await publish([("me", snapshot("b"))])
    await until(lambda: second.jobs == ["b"], within=2)
    await hub.unwatch("me", "b", second)


async def test_a_join_that_fails_is_made_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(updates, "REJOIN", 0.02)
    layer = get_channel_layer()
    ear = Ear()
    await hub.watch("me", "a", ear)
    layer.groups.clear()
    add = layer.group_add
    failures = 2

    async def flaky(group: str, channel: str) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("away")
        await add(group, channel)

    monkeypatch.setattr(layer, "group_add", flaky)
    await until(lambda: layer.groups, within=2)
    assert caplog.text.count("The hub could not join") == 2
    await hub.unwatch("me", "a", ear)
