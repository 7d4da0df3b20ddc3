"""The receiver by itself: what a real server cannot be made to do at the right moment."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from jsonschema import Draft202012Validator

from progrock import counts, jobs, registry
from progrock.consumers import receiver
from progrock.consumers.receiver import Receiver
from progrock.consumers.unread import HOLD
from progrock.events import atrigger
from progrock.feed import PACE, Feed
from progrock.models import Job
from progrock.protocol import Snapshot, State, encode
from progrock.schema import protocol
from progrock.step import Reading
from progrock.subscriptions import BYTES_MOST
from progrock.updates import Update, hub, publish, was_told
from tests.conftest import until
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("engine")
Run = Callable[[Awaitable[None]], asyncio.Task[None]]
SCHEMA = Draft202012Validator({**protocol(), "anyOf": [{"$ref": "#/$defs/Server"}]})


class Socket:
    """A server's side of one socket, whose sending may block or fail."""

    def __init__(self, run: Run, scope: dict[str, Any] | None = None) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.frames: list[dict[str, Any]] = []
        self.closed: int | None = None
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.consumer = Receiver()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = run(self.consumer({"type": "websocket", **(scope or {})}, self.inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        await self.gate.wait()
        if self.broken:
            raise ConnectionError("the peer is gone")
        if message["type"] == "websocket.send":
            self.frames.append(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            self.closed = message["code"]

    @property
    def feed(self) -> Feed:
        return self.consumer._feed

    def say(self, frame: object) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self, kind: str, count: int = 1) -> dict[str, Any]:
        await until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]


@pytest.fixture
async def socket(tasks: Run) -> AsyncIterator[Socket]:
    socket = Socket(tasks)
    await socket.hear("hello")
    yield socket
    for frame in socket.frames:
        SCHEMA.validate(frame)


def update(seq: int, job: str = "j", state: State = State.RUNNING, owner: str = "o") -> Update:
    snapshot = Snapshot(job, "s", "t", state, created=0, seq=seq)
    return Update(owner, job, seq, snapshot.complete, encode(snapshot))


@pytest.mark.parametrize("how", ["disconnect", "cancel", "error"])
async def test_however_a_socket_ends_nothing_of_it_is_left(socket: Socket, remote: Remote, how: str) -> None:
    remote.default = [Reading(State.RUNNING, 1)]
    socket.say({"action": "start"})
    await socket.hear("update")
    assert hub()._sinks
    if how == "disconnect":
        socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
    elif how == "cancel":
        socket.task.cancel()
    else:
        socket.broken = True
        socket.say({"action": "ping"})
    await asyncio.wait([socket.task], timeout=60)
    assert socket.task.done()
    assert not hub()._sinks
    following = socket.consumer._following
    assert following is not None
    assert following.cancelling()


async def test_a_socket_can_start_more_jobs_than_it_can_watch(socket: Socket, limit: Callable[..., None]) -> None:
    limit(max_watches=2)
    for n in range(5):
        socket.say({"action": "start", "params": {"title": str(n)}})
        job = (await socket.hear("accepted", n + 1))["job"]
        await until(lambda job=job: any(f.get("complete") and f["job"] == job for f in socket.frames))  # type: ignore[misc]
    assert socket.of("error") == []


async def test_too_many_watches_are_refused(socket: Socket, remote: Remote, limit: Callable[..., None]) -> None:
    limit(max_watches=2)
    remote.default = [Reading(State.RUNNING, 1)]
    refused = counts.REFUSED.value("too_many")
    for n in range(3):
        socket.say({"action": "start", "params": {"title": str(n)}})
    assert (await socket.hear("error"))["code"] == "too_many"
    assert counts.REFUSED.value("too_many") == refused + 1
    # Who watches all of theirs needs no watch for each.
    socket.say({"action": "list"})
    await socket.hear("jobs")
    socket.say({"action": "start", "params": {"title": "one more"}})
    await socket.hear("accepted", 3)


async def test_too_many_unfinished_jobs_are_refused_and_a_known_key_is_not(
    socket: Socket, remote: Remote, settings: Any
) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAX_UNFINISHED": 1}
    remote.default = [Reading(State.RUNNING, 1)]
    socket.say({"action": "start", "key": "k"})
    first = await socket.hear("accepted")
    socket.say({"action": "start", "key": "other"})
    refused = await socket.hear("error")
    assert (refused["code"], "at most 1 unfinished" in refused["message"]) == ("too_many", True)
    for n in range(10):  # more often than starts are allowed: it is no start
        socket.say({"action": "start", "key": "k"})
        assert (await socket.hear("accepted", n + 2))["job"] == first["job"]


async def test_a_client_that_does_not_read_costs_one_task_and_gets_the_newest(socket: Socket) -> None:
    socket.gate.clear()
    before = asyncio.all_tasks()
    for seq in range(1, 60):
        socket.consumer._feed.deliver(update(seq))
        await asyncio.sleep(PACE / 20)
    ours = ("receiver.py", "feed.py", "subscriptions.py")
    began = [str(getattr(each.get_coro(), "cr_code", "")) for each in asyncio.all_tasks() - before]
    assert sum(any(name in code for name in ours) for code in began) <= 1
    socket.gate.set()
    await until(lambda: socket.of("update") and socket.of("update")[-1]["seq"] == 59)
    assert len(socket.of("update")) <= 3


async def test_updates_are_newest_wins_and_at_most_ten_a_second(socket: Socket) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    seq = 0
    while loop.time() - began < 0.55:
        seq += 1
        socket.consumer._feed.deliver(update(seq))
        await asyncio.sleep(0.002)
    await until(lambda: socket.of("update") and socket.of("update")[-1]["seq"] == seq)
    seqs = [frame["seq"] for frame in socket.of("update")]
    assert seqs == sorted(set(seqs))
    assert len(seqs) <= 8


def heavy(seq: int, job: str = "j", state: State = State.RUNNING) -> Update:
    """An update of 100 kB."""
    snapshot = Snapshot(job, "s", "t", state, created=0, seq=seq, result="x" * 100_000)
    return Update("o", job, seq, snapshot.complete, encode(snapshot))


async def flood(socket: Socket, wanted: Callable[[], object], job: str = "j") -> int:
    """Tell of a job until something is so; return the last seq."""
    seq = 0

    def tell() -> object:
        nonlocal seq
        seq += 1
        socket.feed.deliver(heavy(seq, job))
        return wanted()

    await until(tell)
    return seq


async def test_who_stops_saying_what_it_reads_is_sent_no_more_and_then_the_newest(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.feed.PACE", 0.005)
    await flood(socket, lambda: any("ack" in frame for frame in socket.of("update")))
    socket.say({"action": "ack", "ack": next(frame["ack"] for frame in socket.of("update") if "ack" in frame)})
    await until(lambda: socket.consumer._unread.says)
    await flood(socket, lambda: socket.consumer._unread.held)
    sent = len(socket.of("update"))
    assert sent * 100_000 < 2 * HOLD
    last = [heavy(10_000 + n, job, State.SUCCEEDED) for job in ("j", "k") for n in range(2)]
    for each in last:
        socket.feed.deliver(each)
    await asyncio.sleep(0.1)
    assert len(socket.of("update")) == sent
    assert len(socket.feed._waiting) == 2
    numbers = [frame["ack"] for frame in socket.of("update") if "ack" in frame]
    socket.say({"action": "ack", "ack": numbers[-1]})
    # Of two jobs, the end of each.
    frame = await socket.hear("updates")
    assert {(each["job"], each["seq"], each["complete"]) for each in frame["updates"]} == {
        ("j", 10_001, True),
        ("k", 10_001, True),
    }
    assert socket.closed is None


async def test_who_does_not_read_on_is_sent_away(socket: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progrock.feed.PACE", 0.005)
    monkeypatch.setattr("progrock.consumers.receiver.PATIENCE", 0.1)
    await flood(socket, lambda: any("ack" in frame for frame in socket.of("update")))
    socket.say({"action": "ack", "ack": next(frame["ack"] for frame in socket.of("update") if "ack" in frame)})
    await flood(socket, lambda: socket.closed)
    assert socket.closed == 4013
    assert sum(len(json.dumps(frame)) for frame in socket.frames) < 3 * HOLD


async def test_who_never_says_what_it_reads_is_slowed_and_not_sent_away(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.feed.PACE", 0.005)
    await flood(socket, lambda: socket.consumer._unread.slow)
    sent = len(socket.of("update"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    seq = await flood(socket, lambda: loop.time() > began + 1.5)
    await until(lambda: len(socket.of("update")) > sent)
    assert len(socket.of("update")) - sent <= 2 + (loop.time() - began)
    assert socket.closed is None
    await until(lambda: socket.of("update")[-1]["seq"] >= seq)


async def test_who_asks_for_more_than_anybody_reads_is_sent_away(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def many(*, owner: str) -> list[Snapshot]:
        return [Snapshot("j", "s", "t", State.RUNNING, created=0, seq=5, message="x" * 500_000)]

    monkeypatch.setattr(jobs, "alist_mine", many)
    for _ in range(20):
        socket.say({"action": "list"})
    await until(lambda: socket.closed == 4013)
    assert len(socket.of("jobs")) <= 8


async def test_a_server_that_cannot_send_gives_the_socket_up(tasks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "SEND_MOST", 0.05)
    socket = Socket(tasks)
    await socket.hear("hello")
    socket.gate.clear()
    socket.feed.deliver(update(1))
    await asyncio.wait([socket.task], timeout=60)
    # In order: a server that is told of an error logs it.
    assert (socket.task.done(), socket.task.cancelled(), socket.task.exception()) == (True, False, None)
    assert not receiver._sockets


async def test_an_owner_has_so_many_sockets_and_then_others_again(tasks: Run, settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAX_SOCKETS": 1}
    sockets = [Socket(tasks, {"client": ["10.0.0.1", n]}) for n in range(10)]
    for each in sockets:
        await each.hear("hello")
    eleventh, elsewhere = Socket(tasks, {"client": ["10.0.0.1", 99]}), Socket(tasks, {"client": ["10.0.0.2", 99]})
    await until(lambda: eleventh.closed == 4429)
    assert eleventh.frames == []
    await elsewhere.hear("hello")
    sockets[0].inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await asyncio.wait([sockets[0].task], timeout=60)
    again = Socket(tasks, {"client": ["10.0.0.1", 100]})
    await again.hear("hello")
    for each in (eleventh, elsewhere, again, *sockets[1:]):
        each.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await until(lambda: not receiver._sockets)


async def test_an_update_that_an_answer_has_overtaken_is_dropped(socket: Socket, remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 50)]
    socket.say({"action": "start"})
    job = (await socket.hear("accepted"))["job"]
    await until(lambda: any(frame["percent"] == 50 for frame in socket.of("update")))
    seen = socket.of("update")[-1]["seq"]
    socket.consumer._feed.deliver(update(seen - 1, job))
    socket.say({"action": "watch", "job": job})
    await socket.hear("snapshot")
    await until(lambda: socket.of("update")[-1]["seq"] > seen)
    seqs = [frame["seq"] for frame in socket.frames if frame.get("job") == job]
    assert seqs == sorted(seqs)


async def test_only_bad_frames_in_a_row_close_it(socket: Socket) -> None:
    for n in range(6):
        socket.say("[]" if n % 2 else {"action": "dance"})
    await socket.hear("error", 6)
    assert socket.closed is None
    for _ in range(3):
        socket.say("[]")
    await until(lambda: socket.closed == 4008)


async def test_how_much_a_client_says_is_bounded_by_the_settings(tasks: Run, limit: Callable[..., None]) -> None:
    limit(max_frames_per_second=5, max_frame_bytes=2_000)
    one, other = Socket(tasks), Socket(tasks)
    one.say({"action": "ping", "ref": "x" * 2_000})
    for _ in range(60):
        other.say({"action": "ping"})
    await until(lambda: (one.closed, other.closed) == (4009, 4008))
    # Five, and five more for each second that it took.
    assert 5 <= len(other.of("pong")) < 60
    assert one.of("pong") == []


@pytest.mark.parametrize("sessions", [False, True], ids=["no session", "a new session each"])
async def test_those_who_are_not_logged_in_are_bounded_by_their_address(
    tasks: Run, limit: Callable[..., None], sessions: bool
) -> None:
    limit(max_starts_per_minute=1)

    def socket(address: str, **more: object) -> Socket:
        session = SessionStore()
        session["progrock.owner"] = uuid.uuid4().hex
        return Socket(tasks, {"client": [address, 1], **({"session": session} if sessions else {}), **more})

    for n in range(10):
        each = socket("198.51.100.7")
        each.say({"action": "start", "params": {"title": str(n)}})
        await each.hear("accepted")
    one_more, elsewhere = socket("198.51.100.7"), socket("198.51.100.8")
    for action in ({"action": "start"}, {"action": "retry", "job": str(uuid.uuid4())}):
        one_more.say(action)
    assert "of an address without a login" in (await one_more.hear("error", 2))["message"]
    assert [each["code"] for each in one_more.of("error")] == ["too_many"] * 2
    user = socket("198.51.100.7", user=await User.objects.acreate(username="ada"))
    for each in (elsewhere, user):
        each.say({"action": "start"})
        await each.hear("accepted")


async def test_a_frame_is_measured_in_bytes(socket: Socket) -> None:
    socket.say("é" * 40_000)
    await until(lambda: socket.closed == 4009)


async def test_an_error_of_ours_is_not_told_in_detail(socket: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(**kwargs: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("progrock.jobs.alist_mine", broken)
    socket.say({"action": "list", "ref": "r"})
    error = await socket.hear("error")
    assert (error["code"], error["ref"]) == ("unavailable", "r")
    assert "secret" not in error["message"]


async def test_a_job_that_ended_before_it_is_watched_is_told_at_once(socket: Socket) -> None:
    socket.say({"action": "start"})
    job = (await socket.hear("accepted"))["job"]
    await until(lambda: any(frame["complete"] for frame in socket.of("update")))
    await publish([])
    socket.say({"action": "watch", "job": job})
    assert (await socket.hear("snapshot"))["state"] == "succeeded"
    assert not hub()._sinks


async def test_after_the_close_nothing_is_answered(socket: Socket) -> None:
    socket.say("é" * 40_000)
    socket.say({"action": "start"})
    await until(lambda: socket.closed == 4009)
    socket.say({"action": "ping"})
    await asyncio.sleep(0.05)
    assert [frame["type"] for frame in socket.frames] == ["hello"]


async def test_what_ends_between_the_watch_and_the_look_is_not_missed(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[bool] = []
    aget = jobs.aget

    async def get(job: str, *, owner: str) -> Snapshot:
        watched.append((owner, job) in hub()._sinks)
        return await aget(job, owner=owner)

    monkeypatch.setattr(jobs, "aget", get)
    socket.say({"action": "start"})
    await socket.hear("accepted")
    assert watched == [True]


async def test_the_newest_wins_in_whatever_order_they_come(socket: Socket) -> None:
    socket.consumer._feed.deliver(update(1))
    await socket.hear("update")
    for seq in (5, 3, 4):  # at once: they wait for the same flush
        socket.consumer._feed.deliver(update(seq))
    await socket.hear("update", 2)
    socket.consumer._feed.deliver(update(2))
    socket.consumer._feed.deliver(update(6, "other"))
    await socket.hear("update", 3)
    assert [frame["seq"] for frame in socket.of("update")] == [1, 5, 6]


async def test_no_update_overtakes_the_answer_that_is_being_made(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, released = asyncio.Event(), asyncio.Event()

    async def slow(*, owner: str) -> list[Snapshot]:
        reading.set()
        await released.wait()
        return [Snapshot("j", "s", "t", State.RUNNING, created=0, seq=5)]

    monkeypatch.setattr(jobs, "alist_mine", slow)
    socket.say({"action": "list"})
    await reading.wait()
    socket.consumer._feed.deliver(update(4))
    await asyncio.sleep(2 * PACE)
    released.set()
    await socket.hear("jobs")
    socket.consumer._feed.deliver(update(6))
    await until(lambda: any(frame["seq"] == 6 for frame in socket.of("update")))
    assert [frame.get("seq") for frame in socket.frames[1:]] == [None, 6]


async def test_of_a_job_that_has_ended_nothing_is_kept(socket: Socket) -> None:
    socket.say({"action": "start"})
    await until(lambda: any(frame["complete"] for frame in socket.of("update")))
    feed = socket.consumer._feed
    assert not feed._seqs
    feed.deliver(update(3))
    await feed.told("j", 4, complete=True)
    assert not feed._waiting


async def test_a_bare_start_after_its_job_went_to_another_owner_is_a_new_one(socket: Socket, remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 1)]
    socket.say({"action": "start"})
    first = (await socket.hear("accepted"))["job"]
    await Job.objects.filter(pk=first).aupdate(owner="user:1")
    await registry.store().remove([first])
    socket.say({"action": "start"})
    assert (await socket.hear("accepted", 2))["job"] != first


async def test_a_bare_start_is_followed_again_after_an_unwatch(socket: Socket, remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 1)]
    socket.say({"action": "start"})
    job = (await socket.hear("accepted"))["job"]
    socket.say({"action": "unwatch", "job": job})
    socket.say({"action": "start"})
    assert (await socket.hear("accepted", 2))["job"] == job
    seen = len(socket.of("update"))
    await until(lambda: len(socket.of("update")) > seen)


async def test_a_job_that_is_over_is_tried_again_on_request(socket: Socket, remote: Remote) -> None:
    remote.default = [Reading(State.FAILED, message="No luck")]
    socket.say({"action": "start"})
    first = await socket.hear("accepted")
    await until(lambda: any(frame["complete"] for frame in socket.of("update")))
    remote.default = [Reading(State.SUCCEEDED)]
    socket.say({"action": "retry", "job": first["job"], "ref": "r"})
    second = await socket.hear("accepted", 2)
    assert (second["attempt"], second["retry_of"], second["ref"]) == (2, first["job"], "r")
    await until(lambda: any(frame["job"] == second["job"] and frame["complete"] for frame in socket.of("update")))
    socket.say({"action": "retry", "job": first["job"]})
    assert (await socket.hear("accepted", 3))["job"] == second["job"]


async def test_a_job_that_is_not_over_is_not_tried_again(socket: Socket, remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 5)]
    socket.say({"action": "start"})
    job = (await socket.hear("accepted"))["job"]
    socket.say({"action": "retry", "job": job, "ref": "r"})
    refused = await socket.hear("error")
    assert (refused["code"], refused["ref"]) == ("not_complete", "r")


def may(user: object, owner: str, channel: str) -> bool:
    return channel == "room.7"


async def test_events_come_to_a_socket_that_has_subscribed(socket: Socket, settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAY_SUBSCRIBE": f"{__name__}.may"}
    for channel in ("room.7", "room.8", "me"):
        socket.say({"action": "subscribe", "channel": channel, "ref": channel})
    assert (await socket.hear("subscribed", 2))["ref"] == "me"
    assert (await socket.hear("error"))["code"] == "not_found"
    await atrigger([socket.feed.owner, "channel:room.7", "channel:room.8"], "a", {"n": 1})
    await socket.hear("event", 2)
    assert [frame["channel"] for frame in socket.of("event")] == ["me", "room.7"]
    socket.say({"action": "unsubscribe", "channel": "me"})
    socket.say({"action": "ping"})
    await socket.hear("pong")
    await atrigger([socket.feed.owner, "channel:room.7"], "b")
    assert (await socket.hear("event", 3))["channel"] == "room.7"
    socket.task.cancel()
    await asyncio.wait([socket.task], timeout=60)
    assert not hub()._subscribers


async def test_events_that_nobody_reads_do_not_pile_up(socket: Socket) -> None:
    socket.say({"action": "subscribe", "channel": "me"})
    await socket.hear("subscribed")
    socket.gate.clear()
    for n in range(500):
        await atrigger(socket.feed.owner, "a", [n, "x" * 5_000])
    await until(lambda: socket.feed.events._size > BYTES_MOST - 6_000)
    socket.gate.set()
    await until(lambda: any(frame["data"][0] == 499 for frame in socket.of("event")))
    told = [frame["data"][0] for frame in socket.of("event")]
    assert told == sorted(told)
    assert len(told) < 200
    assert socket.closed is None


async def test_an_end_that_somebody_asks_after_counts_once_the_client_has_taken_it_in(socket: Socket) -> None:
    owner = socket.feed.owner
    socket.say({"action": "list"})
    await socket.hear("jobs")
    ends = [Snapshot(job, "s", "t", State.SUCCEEDED, created=0, seq=1) for job in ("a", "b")]
    await publish([(owner, ends[0])])
    assert "ack" not in await socket.hear("update")
    for owned in ((owner, ends[1]), ("somebody else", ends[1])):
        await publish([owned], asks=True)
    number = (await socket.hear("update", 2))["ack"]
    for wrong in (number - 1, 0):
        socket.say({"action": "ack", "ack": wrong})
    socket.say({"action": "ping"})
    await socket.hear("pong")
    await asyncio.gather(*hub()._noting)
    assert not await was_told(owner, "b")
    socket.say({"action": "ack", "ack": number})
    await until(lambda: was_told(owner, "b"))
    assert not any([await was_told(owner, "a"), await was_told("somebody else", "b")])
    assert socket.consumer._ends == {}


async def test_who_never_says_so_is_not_waited_for_by_many(socket: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "ENDS_MOST", 3)
    monkeypatch.setattr("progrock.feed.PACE", 0)
    socket.say({"action": "list"})
    await socket.hear("jobs")
    for n in range(10):
        end = Snapshot(str(n), "s", "t", State.SUCCEEDED, created=0, seq=1)
        await publish([(socket.feed.owner, end)], asks=True)
        await socket.hear("update", n + 1)
    assert list(socket.consumer._ends.values()) == [["7"], ["8"], ["9"]]
