"""Jobs that nobody watches are looked at seldom, if the policy says so, and often again once somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from progrock import jobs, registry, updates
from progrock.delay import MemoryStore
from progrock.politeness import MemoryAudience, topic
from progrock.protocol import State
from progrock.step import Reading
from tests.conftest import until
from tests.consumers.test_receiver import Socket
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("engine")
RUNNING = Reading(State.RUNNING, 30, "Working")
Run = Callable[[Awaitable[None]], asyncio.Task[None]]


@pytest.fixture
def policy(policy: dict[str, Any]) -> dict[str, Any]:
    return policy | {"unwatched": 50_000}


@pytest.fixture
async def socket(tasks: Run) -> Socket:
    socket = Socket(tasks)
    await socket.hear("hello")
    return socket


async def rest(job: str, owner: str) -> int:
    """Return the milliseconds from its last look to its next."""
    snapshot = await jobs.aget(job, owner=owner)
    return (snapshot.due or 0) - snapshot.at


async def slow(remote: Remote, owner: str) -> str:
    """Have a job that nobody watches, and that is looked at seldom."""
    remote.default = [RUNNING]
    job = (await jobs.astart(owner=owner)).job

    async def seldom() -> bool:
        return await rest(job, owner) == 50_000

    await until(seldom)
    assert len(remote.polls) == 1
    return job


@pytest.mark.parametrize("how", ["watch", "list"])
async def test_who_comes_to_watch_has_it_looked_at_at_once_and_often(socket: Socket, remote: Remote, how: str) -> None:
    job = await slow(remote, socket.consumer._feed.owner)
    socket.say({"action": "watch", "job": job} if how == "watch" else {"action": "list"})
    await until(lambda: len(remote.polls) > 10)
    assert await rest(job, socket.consumer._feed.owner) < 5_000


async def test_who_watches_already_changes_nothing(
    socket: Socket, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    nudged: list[str] = []
    nudge = MemoryStore.nudge

    async def noted(self: MemoryStore, keys: Sequence[str]) -> int:
        nudged.extend(keys)
        return await nudge(self, keys)

    monkeypatch.setattr(MemoryStore, "nudge", noted)
    job = await slow(remote, socket.consumer._feed.owner)
    for n in range(3):
        socket.say({"action": "watch", "job": job})
        await socket.hear("snapshot", n + 1)
        socket.say({"action": "unwatch", "job": job})
    socket.say({"action": "ping"})
    await socket.hear("pong")
    assert nudged == [job]


async def test_who_may_not_watch_does_not_have_it_looked_at_often(socket: Socket, remote: Remote) -> None:
    job = await slow(remote, "somebody else")
    socket.say({"action": "watch", "job": job})
    assert (await socket.hear("error"))["code"] == "not_found"
    before = (await jobs.aget(job, owner="somebody else")).seq
    await registry.store().nudge([job])

    async def looked_at() -> bool:
        return (await jobs.aget(job, owner="somebody else")).seq > before

    await until(looked_at)
    assert await rest(job, "somebody else") == 50_000
    assert len(remote.polls) == 2


async def test_who_stays_is_not_forgotten_and_who_goes_is(
    socket: Socket, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "REJOIN", 0.05)
    monkeypatch.setattr(updates, "MARK", 3_000)
    owner = socket.consumer._feed.owner
    job = await slow(remote, owner)
    loop = asyncio.get_running_loop()
    began = loop.time()
    socket.say({"action": "watch", "job": job})
    await until(lambda: loop.time() - began > 4)  # longer than a mark lasts
    assert await registry.audience().watched([topic(owner, job)]) == [True]
    assert await rest(job, owner) < 5_000
    socket.say({"action": "unwatch", "job": job})

    async def seldom() -> bool:
        return await rest(job, owner) == 50_000

    await until(seldom)


async def test_when_nobody_knows_who_watches_all_jobs_count_as_watched(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: MemoryAudience, topics: Sequence[str]) -> list[bool]:
        raise ConnectionError("gone")

    monkeypatch.setattr(MemoryAudience, "watched", away)
    remote.default = [RUNNING]
    await jobs.astart(owner="me")
    await until(lambda: len(remote.polls) > 5)


async def test_a_watch_works_though_workers_cannot_be_told(
    socket: Socket, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: MemoryAudience, topics: Sequence[str], duration: int) -> list[bool]:
        raise ConnectionError("gone")

    job = await slow(remote, socket.consumer._feed.owner)
    monkeypatch.setattr(MemoryAudience, "mark", away)
    socket.say({"action": "watch", "job": job})
    assert (await socket.hear("snapshot"))["job"] == job


class TestNotDeclared:
    @pytest.fixture
    def policy(self, policy: dict[str, Any]) -> dict[str, Any]:
        return policy | {"unwatched": None}

    async def test_nobody_marks_and_nobody_asks(
        self, socket: Socket, remote: Remote, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        async def noted(self: MemoryAudience, topics: Sequence[str], duration: int = 0) -> list[bool]:
            asked.extend(topics)
            return [True] * len(topics)

        monkeypatch.setattr(MemoryAudience, "mark", noted)
        monkeypatch.setattr(MemoryAudience, "watched", noted)
        monkeypatch.setattr(updates, "REJOIN", 0.01)
        remote.default = [RUNNING]
        job = (await jobs.astart(owner=socket.consumer._feed.owner)).job
        socket.say({"action": "watch", "job": job})
        await until(lambda: len(remote.polls) > 10)
        assert asked == []
