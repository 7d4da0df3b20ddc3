"""Rights of a project's own: per service, per job, sync or async, broken; and what becomes of those who had them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone
from msgspec.structs import replace

from progrock import jobs, registry
from progrock.caller import Caller, JobRef, trusted
from progrock.checks import check
from progrock.conf import parse
from progrock.events import atrigger
from progrock.exceptions import NotFound
from progrock.feed import Feed
from progrock.models import Job
from progrock.protocol import State
from progrock.push import acreate
from progrock.rights import Owners, Rights
from progrock.rounds import EVERY, Rounds, rounds
from progrock.updates import hub
from tests.conftest import until
from tests.consumers.test_receiver import Run, Socket
from tests.documents import code
from tests.http.conftest import engine as engine
from tests.http.conftest import events, refused, said
from tests.http.conftest import policy as policy
from tests.http.conftest import remote as remote
from tests.http.conftest import service as service
from tests.http.conftest import tell as tell
from tests.http.conftest import uncounted as uncounted
from tests.test_rights import OWNER, Jobs, answer, make, who
from tests.test_rights import theirs as theirs

said_no: set[str] = set()
"""What is not allowed now: `<verb>`, `<verb> <service>`, `<verb> <id>`."""
says: Any = True


class Listed(Rights):
    """Everything is allowed to everybody, but for what is in the set; by a thread, and by the loop."""

    def start(self, caller: Caller, service: str) -> bool:
        assert threading.current_thread() is not threading.main_thread()
        return _allowed("start", service)

    async def watch(self, caller: Caller, job: JobRef) -> bool:
        return _allowed("watch", job.id, job.service)

    def cancel(self, caller: Caller, job: JobRef) -> Any:
        return _later(_allowed("cancel", job.id))

    def retry(self, caller: Caller, job: JobRef) -> bool:
        return _allowed("retry", job.id)

    async def list(self, caller: Caller, owner: str) -> bool:
        return _allowed("list", owner)


async def _later(answer: bool) -> bool:
    return answer


def _allowed(verb: str, *about: str) -> bool:
    if isinstance(says, Exception):
        raise says
    return not said_no & {verb, *(f"{verb} {each}" for each in about)} and cast("bool", says)


Swap = Callable[[Rights], None]


@pytest.fixture
def swapped(engine: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swap]:
    """Put rights in the place of those of the settings, in the middle of everything."""
    conf = registry.conf()

    def swap(rights: Rights) -> None:
        monkeypatch.setattr(registry, "conf", lambda: replace(conf, rights="another"))
        monkeypatch.setattr(registry, "rights", lambda: rights)

    global says
    says = True
    said_no.clear()
    yield swap
    says = True
    monkeypatch.undo()


async def test_each_verb_is_asked_and_its_no_is_a_no(theirs: Jobs, swapped: Swap) -> None:
    swapped(Listed())
    one = (await who("another user")).http
    assert said(await one.get(f"jobs/{theirs.going}/"))["job"] == theirs.going
    assert (await one.get(f"jobs/{theirs.done}/file")).status_code == 200
    said_no.update({f"watch {theirs.done}", f"cancel {theirs.going}", f"retry {theirs.failed}", "start scripted"})
    refused(await one.get(f"jobs/{theirs.done}/"), 404, "not_found")
    assert (await one.get(f"jobs/{theirs.done}/file")).status_code == 404
    refused(await one.post(f"jobs/{theirs.going}/cancel"), 403, "forbidden")
    refused(await one.post(f"jobs/{theirs.failed}/retry"), 403, "forbidden")
    refused(await one.post("jobs/"), 403, "forbidden")
    # Whoever may retry a job, and not start one of its service, does not retry it.
    said_no.remove(f"retry {theirs.failed}")
    refused(await one.post(f"jobs/{theirs.failed}/retry"), 403, "forbidden")
    said_no.remove("start scripted")
    said(await one.post(f"jobs/{theirs.failed}/retry"), 202)
    # Who may not watch may nothing.
    said_no.add(f"watch {theirs.going}")
    said_no.remove(f"cancel {theirs.going}")
    refused(await one.post(f"jobs/{theirs.going}/cancel"), 404, "not_found")
    assert (await jobs.aget(theirs.going, owner=OWNER)).state == "running"


async def test_a_list_has_only_what_may_be_watched_and_its_cursors_name_nothing_else(
    theirs: Jobs, swapped: Swap
) -> None:
    hidden = [await make(state="failed", error="remote", finished=timezone.now()) for _ in range(3)]
    swapped(Listed())
    said_no.update({f"watch {each}" for each in hidden})
    one = (await who("another user")).http
    seen: list[str] = []
    path = f"jobs/?owner={OWNER}&limit=1"
    for _ in range(10):
        told = said(await one.get(path))
        seen += [each["job"] for each in told["jobs"]]
        assert not any(each in str(told) for each in hidden)
        if told["next"] is None:
            break
        path = told["next"].removeprefix("/prog/")
    assert set(seen) == {theirs.going, theirs.done, theirs.failed}
    said_no.add(f"list {OWNER}")
    refused(await one.get(f"jobs/?owner={OWNER}"), 404, "not_found")
    # The children of one are asked about one by one.
    assert [each["job"] for each in said(await one.get(f"jobs/?parent={theirs.done}"))["jobs"]] == [theirs.child]
    said_no.add(f"watch {theirs.child}")
    assert said(await one.get(f"jobs/?parent={theirs.done}"))["jobs"] == []


async def test_nothing_but_true_is_yes(theirs: Jobs, swapped: Swap) -> None:
    global says
    swapped(Listed())
    one = (await who("owner")).http
    assert (await one.get(f"jobs/{theirs.going}/")).status_code == 200
    for wrong in (1, "yes", None, [True], RuntimeError("broken"), PermissionError()):
        says = wrong
        refused(await one.get(f"jobs/{theirs.going}/"), 404, "not_found")
        refused(await one.get("jobs/"), 404, "not_found")
        refused(await one.post("jobs/"), 403, "forbidden")


async def test_rights_that_do_not_answer_let_in_nobody_and_send_away_nobody(
    theirs: Jobs, swapped: Swap, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Owners):
        pause = 0.0

        async def watch(self, caller: Caller, job: JobRef) -> bool:
            await sync_to_async(time.sleep)(self.pause)
            return True

    rights = Slow()
    swapped(rights)
    one = await who("owner")
    sockets = [Socket(tasks, one.scope) for _ in range(10)]
    for socket in sockets:
        assert await answer(socket, action="watch", job=theirs.going) == "snapshot"
    monkeypatch.setattr("progrock.ask.PATIENCE", 0.1)
    # Each is quick enough, and the last waits for all others.
    rights.pause = 0.03
    await rounds().go_round()
    assert all(theirs.going in socket.feed._watches for socket in sockets)
    rights.pause = 0.2
    refused(await one.http.get(f"jobs/{theirs.going}/"), 503, "unavailable")


@pytest.mark.django_db(transaction=True)
async def test_rounds_outlive_the_request_that_they_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread for the database ends with it, and is found by the context."""
    request = ContextVar("request", default="none")
    found: list[str] = []

    class Somebody:
        caller = trusted("me")

        async def ask_again(self, caller: Caller) -> None:
            found.append(request.get())

    async def come() -> None:
        request.set("the first")
        mine.add(somebody)

    monkeypatch.setattr("progrock.rounds.EVERY", 0.01)
    mine, somebody = Rounds(), Somebody()
    await asyncio.create_task(come())
    await until(lambda: found)
    mine.discard(somebody)
    assert set(found) == {"none"}


async def test_while_the_database_is_away_nobody_has_said_no(theirs: Jobs, swapped: Swap, tasks: Run) -> None:
    global says
    swapped(Listed())
    one = await who("owner")
    socket = Socket(tasks, one.scope)
    assert await answer(socket, action="watch", job=theirs.going) == "snapshot"
    says = OperationalError("gone")
    refused(await one.http.get(f"jobs/{theirs.going}/"), 503, "unavailable")
    await rounds().go_round()
    assert theirs.going in socket.feed._watches
    assert not socket.of("error")


async def test_who_derives_from_nothing_else_allows_nothing(theirs: Jobs, swapped: Swap) -> None:
    swapped(Rights())
    one = (await who("owner")).http
    for path in (f"jobs/{theirs.going}/", "jobs/", f"jobs/{theirs.done}/file", f"jobs/{theirs.going}/stream"):
        assert (await one.get(path)).status_code == 404, path
    refused(await one.post("jobs/"), 403, "forbidden")
    # In a stream as in a poll: what is refused is said, and does not end it for the others.
    (frame,) = said(await one.get("updates?list=1"))["frames"]
    assert (frame["code"], "job" in frame) == ("not_found", False)
    stream = events(await one.get("updates?list=1", accept="text/event-stream"))
    assert (await anext(stream))["code"] == "not_found"
    await stream.aclose()
    # Code of ours is not asked.
    assert (await jobs.aget(theirs.going, owner=OWNER)).state == "running"
    feed = Feed(OWNER)
    assert (await feed.watch(theirs.going)).snapshot.job == theirs.going
    await feed.aclose()


# Taken back in mid-stream


async def test_a_permission_that_is_taken_back_ends_what_it_allowed(theirs: Jobs, tasks: Run) -> None:
    staff = await who("staff view")
    socket = Socket(tasks, staff.scope)
    for job in (theirs.going, theirs.failed):
        assert await answer(socket, action="watch", job=job) == "snapshot"
    assert await answer(socket, action="subscribe", channel=theirs.going) == "subscribed"
    own = await answer(socket, action="start")
    assert own == "accepted"
    mine = (await socket.hear("accepted"))["job"]
    one_stream = events(await staff.http.get(f"jobs/{theirs.going}/stream"))
    many = events(await staff.http.get(f"updates?job={theirs.going}", accept="text/event-stream"))
    lines = await staff.http.get(f"jobs/{theirs.going}/fragments", accept="text/event-stream")
    rows = asyncio.ensure_future(_all(lines))
    waits = asyncio.ensure_future(staff.http.get(f"jobs/{theirs.going}/?redirect=1&wait=20"))
    assert (await anext(one_stream))["type"] == (await anext(many))["type"] == "snapshot"
    await until(lambda: len(rounds()._watchers) >= 4)
    await rounds().go_round()
    assert not socket.of("error"), "nothing has changed"
    await (await User.objects.aget(username="staff view")).user_permissions.aclear()
    await rounds().go_round()
    await socket.hear("error", 2)
    assert {(each["code"], each.get("job"), each.get("channel")) for each in socket.of("error")} == {
        ("not_found", theirs.going, None),
        ("not_found", None, theirs.going),
    }
    # The others end, or say so; and who waits is told that it is not there.
    last = [each async for each in one_stream][-1]
    assert (last["code"], last["job"]) == ("not_found", theirs.going)
    while (frame := await anext(many))["type"] != "error":
        pass
    assert frame["job"] == theirs.going
    await many.aclose()
    await asyncio.wait_for(rows, 15)
    assert (await asyncio.wait_for(waits, 15)).status_code == 404
    assert not [each for each in hub()._sinks if each[0] == OWNER]
    # What is their own goes on.
    assert mine in socket.feed._watches
    assert await answer(socket, action="watch", job=theirs.going) == "not_found"
    assert await answer(socket, action="cancel", job=mine) == "snapshot"
    await socket.feed.aclose()
    await until(lambda: not rounds()._watchers)


async def may_hear(user: Any, owner: str, channel: str) -> bool:
    if "break" in said_no:
        raise RuntimeError("no idea")
    return channel not in said_no and await user.groups.filter(name="listeners").aexists()


@pytest.mark.django_db(transaction=True)
async def test_a_channel_that_may_not_be_heard_any_more_is_not(tasks: Run, settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAY_SUBSCRIBE": f"{__name__}.may_hear"}
    one = await who("one")
    listeners = await Group.objects.acreate(name="listeners")
    await listeners.user_set.aadd(await User.objects.aget(username="one"))
    socket = Socket(tasks, one.scope)
    for channel in ("room.7", "room.8", "me"):
        assert await answer(socket, action="subscribe", channel=channel) == "subscribed"
    stream = events(await one.http.get("updates?channel=room.7&channel=me", accept="text/event-stream"))
    assert [(await anext(stream))["type"] for _ in range(2)] == ["subscribed"] * 2
    # As long as nobody says no, it is not one.
    said_no.add("break")
    await rounds().go_round()
    said_no.clear()
    await rounds().go_round()
    assert not socket.of("error")
    said_no.add("room.8")
    await rounds().go_round()
    assert (await socket.hear("error"))["channel"] == "room.8"
    await listeners.adelete()
    await rounds().go_round()
    lost = await socket.hear("error", 2)
    assert (lost["code"], lost["channel"]) == ("not_found", "room.7")
    assert (await anext(stream))["channel"] == "room.7"
    await atrigger(["channel:room.7", "channel:room.8", socket.feed.owner], "a")
    assert (await socket.hear("event"))["channel"] == (await anext(stream))["channel"] == "me"
    # There is nothing left to be asked again.
    assert not rounds()._watchers
    await stream.aclose()
    await socket.feed.aclose()
    assert not [topic for topic in hub()._subscribers if topic.startswith("channel:")]


async def _all(response: Any) -> list[bytes]:
    return [each async for each in response]


async def test_the_rounds_come_by_themselves_within_ten_seconds(
    theirs: Jobs, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert EVERY < 10
    monkeypatch.setattr("progrock.rounds.EVERY", 0.2)
    socket = Socket(tasks, (await who("staff view")).scope)
    assert await answer(socket, action="watch", job=theirs.going) == "snapshot"
    await User.objects.filter(username="staff view").aupdate(is_active=False)
    assert (await socket.hear("error"))["job"] == theirs.going


async def test_a_socket_that_is_open_for_long_does_not_keep_what_its_user_could_do(
    theirs: Jobs, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django's user remembers its permissions, and a socket its user."""
    monkeypatch.setattr("progrock.doubts.EVERY", 0)
    socket = Socket(tasks, (await who("staff view change")).scope)
    assert await answer(socket, action="watch", job=theirs.failed) == "snapshot"
    user = await User.objects.aget(username="staff view change")
    await user.user_permissions.aremove(await Permission.objects.aget(codename="change_job"))
    assert await answer(socket, action="cancel", job=theirs.going) == "forbidden"
    await user.user_permissions.aclear()
    assert await answer(socket, action="watch", job=theirs.failed) == "not_found"


async def test_what_was_listed_and_may_not_be_watched_any_more_is_told_no_more(
    theirs: Jobs, swapped: Swap, tasks: Run
) -> None:
    swapped(Listed())
    socket = Socket(tasks, (await who("owner")).scope)
    assert await answer(socket, action="list") == "jobs"
    assert theirs.going in {each["job"] for each in (await socket.hear("jobs"))["jobs"]}
    await socket.hear("update")
    said_no.add(f"watch {theirs.going}")
    await rounds().go_round()
    assert (await socket.hear("error"))["job"] == theirs.going
    # One that is started now, and may not be watched from its first moment.
    said_no.add("watch track")
    hidden = (await acreate("hidden", owner=OWNER)).job
    shown = (await jobs.astart(owner=OWNER)).job
    await until(lambda: shown in str(socket.frames))
    assert hidden not in str(socket.frames)
    before = len([each for each in socket.of("update") if each["job"] == theirs.going])
    await until(lambda: len([each for each in socket.of("update") if each["job"] == shown]) > 3)
    assert len([each for each in socket.of("update") if each["job"] == theirs.going]) == before
    said_no.add("list")
    await rounds().go_round()
    await until(lambda: "" not in socket.feed._watches)


async def test_an_end_that_staff_sees_is_not_one_that_its_owner_was_told(theirs: Jobs) -> None:
    told: list[tuple[str, str]] = []
    user = (await who("staff view")).scope["user"]
    feed = Feed(Caller(f"user:{user.pk}", user))
    await feed.watch(theirs.going)
    hub().tell_of_ends = told.extend  # type: ignore[method-assign, assignment]
    await jobs.acancel(theirs.going, owner=OWNER)
    ends: list[Any] = []
    await until(lambda: _grow(ends, feed))
    late = Feed(Caller(f"user:{user.pk}", user))
    assert (await late.watch(theirs.going)).snapshot.complete
    assert told == []
    await feed.aclose()
    await late.aclose()


async def _grow(ends: list[Any], feed: Feed) -> bool:
    ends += await feed.next(0.1)
    return bool(ends) and ends[-1].update.complete


# Settings and documents


@pytest.mark.parametrize(
    "path", ["nowhere.Rights", "progrock.rights.Nothing", "progrock.rights.Answer", "builtins.dict"]
)
def test_a_class_that_is_none_is_found_at_the_start(path: str) -> None:
    with override_settings(PROGROCK={"RIGHTS": path}):
        (error,) = (each for each in check(None) if each.id == "progrock.E001")
        assert "RIGHTS" in error.msg
        with pytest.raises(ImproperlyConfigured):
            registry.rights()


def test_the_settings_of_the_howto_are_read() -> None:
    scope: dict[str, Any] = {}
    exec(code("howto/say-who-may-what.md", "settings"), scope)
    assert parse(scope["PROGROCK"]).rights == "shop.rights.ShopRights"


@pytest.mark.django_db(transaction=True)
async def test_the_class_of_the_howto_does_what_it_says() -> None:
    scope: dict[str, Any] = {}
    exec(code("howto/say-who-may-what.md", "rights"), scope)
    rights = scope["ShopRights"]()
    ann, bob, eve = [await User.objects.acreate(username=name) for name in ("ann", "bob", "eve")]
    for user in (ann, bob):
        await user.groups.aadd((await Group.objects.aget_or_create(name="team-x"))[0])
    await ann.groups.aadd(await Group.objects.acreate(name="training"))
    callers = {user.username: Caller(f"user:{user.pk}", user) for user in (ann, bob, eve)}
    nobody = Caller("nobody:1", AnonymousUser())
    job = JobRef("j", f"user:{ann.pk}", "train", None, State.RUNNING)
    assert [await rights.start(each, "render") for each in (*callers.values(), nobody)] == [True] * 4
    assert [await rights.start(each, "train") for each in callers.values()] == [True, False, False]
    assert [await rights.watch(each, job) for each in (*callers.values(), nobody)] == [True, True, False, False]
    assert [await rights.cancel(each, job) for each in callers.values()] == [True, False, False]
    of_a_browser = JobRef("j", "session:x", "render", None, State.RUNNING)
    assert not await rights.watch(callers["ann"], of_a_browser)


async def test_the_links_of_the_howto(theirs: Jobs, swapped: Swap) -> None:
    scope: dict[str, Any] = {}
    for label in ("share", "no_links"):
        exec(code("howto/say-who-may-what.md", label), scope)
    text = await sync_to_async(scope["mail_of"])(await Job.objects.aget(pk=theirs.going))
    path = text.partition("https://shop.example/prog/")[2]
    nobody = (await who("nobody")).http
    assert said(await nobody.get(path))["job"] == theirs.going
    swapped(scope["NoLinks"]())
    refused(await nobody.get(path), 404, "not_found")
    assert said(await (await who("owner")).http.get(f"jobs/{theirs.going}/"))["job"] == theirs.going


async def test_what_our_own_code_asks_is_its_owners_alone(theirs: Jobs) -> None:
    assert (await trusted(OWNER).get(theirs.going)).job == theirs.going
    for verb in ("get", "cancel", "retry"):
        with pytest.raises(NotFound):
            await getattr(trusted("session:another"), verb)(theirs.failed)
    assert not await trusted(OWNER).may("list", "*")
