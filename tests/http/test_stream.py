"""The events of one job: from where the caller was, to the end, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from django.http import HttpResponse

from progrock import jobs
from progrock.delay import StoreAway
from progrock.exceptions import NotFound, Unavailable
from progrock.http import bounds
from progrock.journal import MemoryJournal
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from progrock.updates import hub
from tests.conftest import until
from tests.http.conftest import Caller, Event, events, refused

pytestmark = pytest.mark.usefixtures("engine")


def talk(count: int) -> list[Any]:
    """Return looks of a job that says one line more at each, and then ends."""
    said = [Line(f"line {n}", "warning" if n % 2 else "info", {"n": n}) for n in range(1, count + 1)]
    return [
        *(Reading(State.RUNNING, 90 * n / count, lines=said[:n]) for n in range(1, count + 1)),
        Reading(State.SUCCEEDED, 100, lines=said),
    ]


def checked(frames: list[Event]) -> list[int]:
    """Return the numbers of the lines that came, having seen that each snapshot is newer and counts none but those."""
    lines: dict[int, str] = {}
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(set(seqs))
    for frame in frames:
        assert frame.id == (str(frame["seq"]) if frame["seq"] else None)
        for line in frame.get("journal", []):
            assert lines.setdefault(line["n"], line["text"]) == line["text"]
        # Lines may be there before the snapshot that counts them, and come again with that after a cut.
        assert frame["lines"] <= max(lines, default=0) <= frame["lines"] + 5
    return list(lines)


async def all_of(response: HttpResponse) -> list[Event]:
    async with asyncio.timeout(60):
        return [event async for event in events(response)]


async def test_a_stream_tells_a_job_from_its_beginning_to_its_end(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(30))
    job = await caller.start()
    response = await caller.get(f"jobs/{job}/stream")
    assert response["Cache-Control"] == "no-cache, no-transform"
    assert response["X-Accel-Buffering"] == "no"
    frames = await all_of(response)
    assert (frames[0]["type"], frames[0]["resume"]) == ("snapshot", "reset")
    assert {frame["type"] for frame in frames[1:]} == {"update"}
    assert (frames[-1]["state"], frames[-1]["lines"]) == ("succeeded", 30)
    assert checked(frames) == list(range(1, 31))
    assert not hub()._sinks


async def test_who_has_it_all_is_told_not_to_come_back(caller: Caller) -> None:
    job = await caller.start()
    ended = await caller.complete(job)
    for headers, query in (({"last_event_id": str(ended["seq"])}, ""), ({}, f"?after={ended['seq']}")):
        response = await caller.get(f"jobs/{job}/stream{query}", **headers)
        assert (response.status_code, response.content) == (204, b"")
    # The header is newer than the address, which an EventSource does not change.
    response = await caller.get(f"jobs/{job}/stream?after=1", last_event_id=str(ended["seq"]))
    assert response.status_code == 204
    (frame,) = await all_of(await caller.get(f"jobs/{job}/stream?after=1"))
    assert (frame["type"], frame["complete"]) == ("snapshot", True)


async def test_there_is_no_cursor_behind_lines_that_cannot_be_told(
    caller: Caller, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.say(*talk(3))
    job = await caller.start()
    await caller.complete(job)

    async def away(*args: object) -> None:
        raise StoreAway("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryJournal, "read", away)
        (frame,) = await all_of(await caller.get(f"jobs/{job}/stream"))
        assert (frame["complete"], frame["lines"], frame.id) == (True, 3, None)
        assert not {"resume", "journal"} & set(frame)
    (frame,) = await all_of(await caller.get(f"jobs/{job}/stream"))
    assert ([line["n"] for line in frame["journal"]], frame.id) == ([1, 2, 3], str(frame["seq"]))


async def test_a_client_that_is_cut_off_again_and_again_gets_each_line_once(caller: Caller, remote: Remote) -> None:
    remote.say(*talk(60))
    job = await caller.start()
    frames: list[Event] = []
    for cut in range(200):
        headers = {"last_event_id": str(frames[-1].id)} if frames and frames[-1].id else {}
        response = await caller.get(f"jobs/{job}/stream", **headers)
        if response.status_code == 204:
            break
        async with asyncio.timeout(60), aclosing(events(response)) as source:
            taken = 0
            async for frame in source:
                if not frame["seq"] and frames:
                    continue  # the first step has begun, and has not spoken: what is held stays
                if taken == 0 and frames:
                    assert frame["resume"] == ("recovered" if headers else "reset")
                    assert frame["seq"] >= frames[-1]["seq"]
                    if frame["seq"] == frames[-1]["seq"]:
                        frame["journal"] = frames.pop().get("journal", []) + frame["journal"]
                frames.append(frame)
                taken += 1
                if taken > cut % 3:
                    break
    else:
        raise AssertionError("it never came to its end")
    assert checked(frames) == list(range(1, 61))
    assert frames[-1]["seq"] == (await caller.snapshot(job))["seq"]
    assert cut > 3


@pytest.mark.parametrize("value", ["x", "-1", "1e3", "9" * 40, "", "1795219200123456\x00", str(2**53)])
async def test_a_last_event_id_that_is_no_cursor_is_none(caller: Caller, value: str) -> None:
    job = await caller.start()
    await caller.complete(job)
    (frame,) = await all_of(await caller.get(f"jobs/{job}/stream", last_event_id=value))
    assert frame["resume"] == "reset"


async def test_a_cursor_in_the_address_that_is_none_is_refused(caller: Caller) -> None:
    job = await caller.start()
    for value in ("x", "-1", "", str(2**53)):
        refused(await caller.get(f"jobs/{job}/stream?after={value}"), 400, "invalid")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stream", "updates"):
        monkeypatch.setattr(f"progrock.http.{module}.HEARTBEAT", 0.05)


async def parts(response: Any) -> AsyncGenerator[bytes, None]:
    async with asyncio.timeout(60), aclosing(aiter(response)) as source:
        async for part in source:
            yield part


@pytest.mark.usefixtures("impatient")
async def test_silence_is_broken_by_comments(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    await until(lambda: going.polls)
    going.gate.clear()
    for path in (f"jobs/{job}/stream", f"updates?job={job}&list=1"):
        response = await caller.get(path, accept="text/event-stream")
        seen: list[bytes] = []
        async with aclosing(parts(response)) as source:
            async for part in source:
                seen.append(part)
                if seen.count(b": \n\n") == 3:
                    break
        assert seen[0].startswith(b"retry: ")
        assert 1_000 <= int(seen[0].split()[1]) < 4_000
    going.gate.set()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("bound", "most"), [("LIFE", 0.3), ("BYTES_MOST", 5)])
async def test_a_stream_ends_after_its_time_or_its_bytes(
    caller: Caller, going: Remote, monkeypatch: pytest.MonkeyPatch, bound: str, most: float
) -> None:
    job = await caller.start()
    await until(lambda: going.polls)
    monkeypatch.setattr(f"progrock.http.stream.{bound}", most)
    frames = await all_of(await caller.get(f"jobs/{job}/stream"))
    assert frames
    assert not frames[-1]["complete"]
    # And goes on where it was.
    (again, *_) = await all_of(await caller.get(f"jobs/{job}/stream", last_event_id=str(frames[-1].id)))
    assert again["resume"] == "recovered"
    assert not hub()._sinks


async def test_a_stream_that_is_stuck_in_sending_is_broken_off(
    caller: Caller, going: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.http.stream.LIFE", 0.1)
    monkeypatch.setattr("progrock.http.stream.GRACE", 0.1)
    job = await caller.start()
    response: Any = await caller.get(f"jobs/{job}/stream")

    async def send() -> None:
        async with aclosing(aiter(response)) as source:
            await anext(source)
            await anext(source)
            assert hub()._sinks
            await asyncio.Event().wait()  # the client reads no more

    sending = asyncio.ensure_future(send())
    await asyncio.wait([sending], timeout=60)
    assert sending.cancelled()
    await until(lambda: not hub()._sinks)


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_however_a_stream_ends_nothing_of_it_is_left(caller: Caller, going: Remote, how: str) -> None:
    job = await caller.start()
    response: Any = await caller.get(f"jobs/{job}/stream")
    source = aiter(response)
    started = asyncio.Event()

    async def read() -> None:
        async with aclosing(source):
            async for _ in source:
                started.set()
                if how == "closed" and hub()._sinks:
                    return

    reading = asyncio.ensure_future(read())
    await started.wait()
    await until(lambda: hub()._sinks or reading.done())
    if how == "cancelled":
        reading.cancel()
    await asyncio.wait([reading], timeout=60)
    await until(lambda: not hub()._sinks and not bounds._open)


async def test_a_stream_that_nobody_begins_to_read_costs_nothing(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    response = await caller.get(f"jobs/{job}/stream")
    assert (response.streaming, bool(hub()._sinks), bool(bounds._open)) == (True, False, False)
    response.close()


@pytest.mark.parametrize("refusal", [NotFound("gone"), Unavailable("away")])
async def test_what_is_refused_in_a_stream_ends_it(
    caller: Caller, going: Remote, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    job = await caller.start()
    response = await caller.get(f"jobs/{job}/stream")

    async def refuse(*args: object, **kwargs: object) -> None:
        raise refusal

    monkeypatch.setattr(jobs, "aget", refuse)
    assert await all_of(response) == []
    assert not hub()._sinks
