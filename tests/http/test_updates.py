"""News of many jobs: in one stream, or in answers that wait."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from typing import Any

import pytest

from progrock.events import atrigger
from progrock.models import Job
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from progrock.updates import hub
from tests.conftest import until
from tests.http.conftest import Caller, Event, events, refused, said

pytestmark = pytest.mark.usefixtures("engine")
EVENTS = {"accept": "text/event-stream"}


async def test_a_stream_tells_of_all_jobs_that_are_named_to_their_ends(caller: Caller, remote: Remote) -> None:
    remote.say(
        *[Reading(State.RUNNING, n, lines=["a"] * n) for n in range(20)], Reading(State.SUCCEEDED, lines=["a"] * 20)
    )
    mine = [await caller.start() for _ in range(3)]
    nobodys = str(uuid.uuid4())
    response = await caller.get(f"updates?job={'&job='.join(mine)}&job={nobodys}", **EVENTS)
    last: dict[str, dict[str, Any]] = {}
    lines: dict[str, list[int]] = {job: [] for job in mine}
    frames: list[Event] = []
    async with asyncio.timeout(60), aclosing(events(response)) as source:
        async for frame in source:
            frames.append(frame)
            assert frame.id is None
            for each in frame["updates"] if frame["type"] == "updates" else [frame]:
                if frame["type"] != "error":
                    assert each["seq"] > last.get(each["job"], {"seq": -1})["seq"]
                    last[each["job"]] = each
                    lines[each["job"]] += [line["n"] for line in each.get("journal", [])]
            if len(last) == 3 and all(each["complete"] for each in last.values()):
                break
    assert [frame["type"] for frame in frames[:4]] == ["error", "snapshot", "snapshot", "snapshot"] or [
        frame["type"] for frame in frames[:4]
    ] == ["snapshot", "snapshot", "snapshot", "error"]
    (error,) = [frame for frame in frames if frame["type"] == "error"]
    assert (error["code"], error["job"]) == ("not_found", nobodys)
    assert lines == {job: list(range(1, 21)) for job in mine}
    assert not hub()._sinks


async def test_a_stream_of_all_of_mine_tells_of_those_to_come(caller: Caller, going: Remote) -> None:
    first = await caller.start()
    response = await caller.get("updates?list=1", **EVENTS)
    async with asyncio.timeout(60), aclosing(events(response)) as source:
        frame = await anext(source)
        assert (frame["type"], [job["job"] for job in frame["jobs"]]) == ("jobs", [first])
        second = await caller.start()
        await Caller().start()
        seen: set[str] = set()
        while second not in seen:
            frame = await anext(source)
            seen |= {each["job"] for each in frame.get("updates", [frame])}
        assert seen <= {first, second}


@pytest.fixture
async def held(caller: Caller, remote: Remote) -> dict[str, Any]:
    """The snapshot of a job that stands still while the remote's gate is shut."""
    remote.say(Reading(State.RUNNING, 10))
    job = await caller.start()
    await until(lambda: remote.polls)
    remote.gate.clear()
    seqs: list[int] = []

    async def still() -> bool:
        seqs.append((await caller.snapshot(job))["seq"])
        return len(seqs) > 20 and len(set(seqs[-20:])) == 1

    await until(still)
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED, 100, lines=[Line("done")])]
    return await caller.snapshot(job)


async def waits(caller: Caller, remote: Remote, path: str) -> dict[str, Any]:
    waiting = asyncio.ensure_future(caller.get(path))
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done(), (await waiting).content
    remote.gate.set()
    async with asyncio.timeout(15):  # it does not sit out the time that it may wait
        return said(await waiting)


async def test_a_long_poll_waits_for_what_is_newer_than_its_cursors(
    caller: Caller, remote: Remote, held: dict[str, Any]
) -> None:
    job, seq = held["job"], held["seq"]
    answer = await waits(caller, remote, f"updates?job={job}:{seq}&wait=20")
    (frame,) = answer["frames"]
    assert (frame["type"], frame["resume"], frame["seq"] > seq) == ("snapshot", "recovered", True)
    assert [line["text"] for line in frame["journal"]] == ["done"]
    # It is over: nothing newer will come, and nothing is waited for but the time.
    assert said(await caller.get(f"updates?job={job}:{frame['seq']}&wait=0.1"))["frames"][0]["complete"]
    assert not hub()._sinks


async def test_of_many_long_results_each_is_told_and_not_all_at_once(
    caller: Caller, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.say(Reading(State.SUCCEEDED, result=["a" * 900] * 10))
    mine = [await caller.start() for _ in range(6)]
    for job in mine:
        await caller.get(f"jobs/{job}/?wait=10")
    monkeypatch.setattr("progrock.http.updates.BYTES_MOST", 20_000)
    left = dict.fromkeys(mine, 0)
    while left:
        query = "&".join(f"job={job}:{seq}" for job, seq in left.items())
        frames = said(await caller.get(f"updates?{query}"))["frames"]
        assert 0 < len(frames) <= 3
        for frame in frames:
            assert len(frame["result"]) == 10
            del left[frame["job"]]
    # A stream ends after as much, and its reader comes back for the others.
    monkeypatch.setattr("progrock.http.stream.BYTES_MOST", 20_000)
    response = await caller.get(f"updates?job={'&job='.join(mine)}", **EVENTS)
    async with asyncio.timeout(60):
        assert len([frame async for frame in events(response)]) == 3


async def test_a_long_poll_waits_for_a_newer_list(caller: Caller, remote: Remote, held: dict[str, Any]) -> None:
    first = said(await caller.get("updates?list=1&wait=20"))
    assert [frame["type"] for frame in first["frames"]] == ["jobs"]
    since = first["now"] + 5_000
    answer = await waits(caller, remote, f"updates?list=1&since={since}&wait=20")
    (frame,) = answer["frames"]
    assert [job["job"] for job in frame["jobs"]] == [held["job"]]


async def test_a_list_that_may_be_news_by_another_clock_is_not_waited_for_long(
    caller: Caller, remote: Remote, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.http.updates.SLACK", 3_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert said(await caller.get(f"updates?list=1&since={held['at'] - 1}&wait=20"))["frames"]
    assert loop.time() - began < 2.7
    assert said(await caller.get(f"updates?list=1&since={held['at']}&wait=20"))["frames"]
    assert 2.7 < loop.time() - began < 10
    remote.gate.set()


async def test_what_is_news_already_is_told_at_once_and_alone(
    caller: Caller, remote: Remote, held: dict[str, Any]
) -> None:
    job, seq = held["job"], held["seq"]
    other = await caller.start()
    nobodys = uuid.uuid4()
    answer = said(await caller.get(f"updates?job={job}:{seq}&job={other}&job={nobodys}&wait=20"))
    assert {frame["job"]: frame["type"] for frame in answer["frames"]} == {other: "snapshot", str(nobodys): "error"}
    # Nothing is: then all is told when the time is over, so that the caller has heard of each.
    answer = said(await caller.get(f"updates?job={job}:{seq}&wait=0.2"))
    assert [(frame["job"], frame["seq"], frame["journal"]) for frame in answer["frames"]] == [(job, seq, [])]
    assert answer["now"] > 1e12
    remote.gate.set()


async def test_a_stream_answers_of_each_job_that_is_named(caller: Caller, remote: Remote, held: dict[str, Any]) -> None:
    job, seq = held["job"], held["seq"]
    other = await caller.start()
    response = await caller.get(f"updates?job={job}:{seq}&job={other}", **EVENTS)
    async with asyncio.timeout(60), aclosing(events(response)) as source:
        first = [await anext(source) for _ in range(2)]
    assert {(frame["type"], frame["job"]) for frame in first} == {("snapshot", job), ("snapshot", other)}
    remote.gate.set()


@pytest.mark.parametrize(
    "query",
    [
        *("", "list=0", "list=2", "list=yes", "job=", "job=x", "list=1&job=x", "list=1&wait=99", "list=1&since=-1"),
        *(f"job={uuid.uuid4()}:", f"job={uuid.uuid4()}:x", f"job={uuid.uuid4()}:{2**53}", f"job={uuid.uuid4()}:1:1"),
        "&".join(f"job={uuid.uuid4()}" for _ in range(101)),
    ],
)
async def test_what_is_wrong_with_a_question_is_said(caller: Caller, query: str) -> None:
    for headers in ({}, EVENTS):
        assert "xpected" in refused(await caller.get(f"updates?{query}", **headers), 400, "invalid")


async def test_a_hundred_jobs_may_be_named(caller: Caller) -> None:
    query = "&".join(f"job={uuid.uuid4()}" for _ in range(100))
    assert len(said(await caller.get(f"updates?{query}"))["frames"]) == 100


async def test_a_beginning_that_was_heard_is_no_news(caller: Caller, remote: Remote) -> None:
    """The first step shows that it begins, and then asks the service; until that answers, there is only the row."""
    remote.gate.clear()
    await caller.http.get("/")
    async with asyncio.timeout(60), aclosing(events(await caller.get("updates?list=1", **EVENTS))) as source:
        await anext(source)
        job = await caller.start()
        heard = 0
        while not heard:
            heard = (await anext(source))["seq"]
    loop = asyncio.get_running_loop()
    assert (await caller.snapshot(job))["seq"] == 0
    for path in (f"jobs/{job}/?after={heard}", f"updates?job={job}:{heard}"):
        began = loop.time()
        said(await caller.get(f"{path}&wait=0.3"))
        assert loop.time() - began >= 0.3
    answer = await waits(caller, remote, f"updates?job={job}:{heard}&wait=10")
    assert answer["frames"][0]["seq"] > heard


def may(user: Any, owner: str, channel: str) -> bool:
    return channel == "room.7"


async def test_a_stream_brings_the_events_of_its_channels(caller: Caller, going: Remote, settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAY_SUBSCRIBE": f"{__name__}.may"}
    job = await caller.start()
    theirs = await Caller().start()
    query = "&".join(f"channel={channel}" for channel in ("me", "room.7", "room.8", job, theirs))
    response = await caller.get(f"updates?{query}", **EVENTS)
    async with asyncio.timeout(60), aclosing(events(response)) as source:
        answers = [await anext(source) for _ in range(5)]
        assert {each["channel"]: each["type"] for each in answers} == {
            **dict.fromkeys(("me", "room.7", job), "subscribed"),
            **dict.fromkeys(("room.8", theirs), "error"),
        }
        (mine,) = [owner async for owner in Job.objects.filter(pk=job).values_list("owner", flat=True)]
        await atrigger([theirs, "channel:room.8", mine, "channel:room.7", job], "a", {"n": 1})
        for channel in ("me", "room.7", job):
            frame = await anext(source)
            assert frame == {"type": "event", "channel": channel, "event": "a", "data": {"n": 1}}
            assert frame.id is None
    await until(lambda: not hub()._subscribers)


async def test_events_are_not_polled(caller: Caller) -> None:
    assert "events are not polled" in refused(await caller.get("updates?channel=me"), 400, "invalid")
    many = "&".join(f"channel={n}" for n in range(101))
    assert "at most 100" in refused(await caller.get(f"updates?{many}", **EVENTS), 400, "invalid")
