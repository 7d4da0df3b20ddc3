"""Who may what: every verb on every transport, for whoever may come, under the rights as they are and under others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone

from progrock import caller, jobs, sharing
from progrock.caller import Caller as Asker
from progrock.feed import Feed
from progrock.models import Job
from progrock.protocol import State
from progrock.rounds import rounds
from progrock.standing import entries_of
from progrock.step import Reading
from progrock.updates import hub
from tests.conftest import until
from tests.consumers.test_receiver import SCHEMA, Run, Socket
from tests.http.conftest import PAGE, Caller, events
from tests.http.conftest import engine as engine
from tests.http.conftest import policy as policy
from tests.http.conftest import remote as remote
from tests.http.conftest import service as service
from tests.http.conftest import tell as tell
from tests.http.conftest import uncounted as uncounted
from tests.scripted import Remote

OWNER = "session:the-owner"


@dataclass
class Who:
    """Somebody, on every transport."""

    http: Caller
    scope: dict[str, Any]
    share: str = ""

    def path(self, path: str) -> str:
        return f"{path}{'&' if '?' in path else '?'}share={self.share}" if self.share else path

    async def get(self, path: str, **headers: str) -> HttpResponse:
        return await self.http.get(self.path(path), **headers)

    async def post(self, path: str) -> HttpResponse:
        return await self.http.post(self.path(path))


@dataclass
class Jobs:
    """The owner's: one that runs, one with a file, one that failed, and a child."""

    going: str
    done: str
    failed: str
    child: str


async def make(**fields: Any) -> str:
    now = timezone.now()
    given = {"service": "scripted", "owner": OWNER, "created": now, "changed": now, "started": now, **fields}
    return str((await Job.objects.acreate(**given)).pk)


@pytest.fixture
async def theirs(engine: object, remote: Remote) -> Jobs:
    remote.default = [Reading(State.RUNNING, 50, lines=["secret"])]
    going = (await jobs.astart(owner=OWNER)).job
    now = timezone.now()
    done = await make(state="succeeded", remote="r-1", file="audio/wav", result=1, finished=now, lines=1)
    failed = await make(state="failed", error="remote", finished=now)
    child = await make(state="failed", error="remote", finished=now, parent_id=done)
    await until(lambda: _lines(going))
    return Jobs(going, done, failed, child)


async def _lines(job: str) -> object:
    return await jobs.ajournal(job, owner=OWNER)


async def _rests(job: str) -> bool:
    if (await jobs.aget(job, owner=OWNER)).percent != 60:
        return False
    (entry,) = await entries_of([job])
    return entry is not None and not entry.held


async def who(name: str, theirs: Jobs | None = None) -> Who:
    """Return somebody by name; a link of theirs is to the job that runs."""
    http = Caller()
    user: Any = AnonymousUser()
    if name in ("owner", "another session"):
        session = await http.http.asession()
        await session.aset("progrock.owner", OWNER.partition(":")[2] if name == "owner" else "another")
        await session.asave()
        http.http.cookies[settings.SESSION_COOKIE_NAME] = str(session.session_key)
    elif name not in ("nobody", "link"):
        user = await User.objects.acreate(username=name, is_staff=name.startswith("staff"))
        for each in ("view", "change"):
            if each in name:
                await user.user_permissions.aadd(await Permission.objects.aget(codename=f"{each}_job"))
        await http.http.aforce_login(user)
    share = ""
    if name == "link" and theirs:
        share = await sharing.ashare(theirs.going, owner=OWNER)
    scope: dict[str, Any] = {"user": user, "query_string": f"share={share}".encode() if share else b""}
    if name in ("owner", "another session"):
        scope["session"] = session
    return Who(http, scope, share)


# What each may: `all`, `see` and no more, `link`: see the one job, or nothing.
MAY = {
    "owner": "all",
    "staff view change": "all",
    "staff view": "see",
    "staff change": "nothing",
    "staff": "nothing",
    "another user": "nothing",
    "another session": "nothing",
    "nobody": "nothing",
    "link": "link",
}
everybody = pytest.mark.parametrize(("name", "may"), MAY.items(), ids=list(MAY))


@everybody
async def test_whoever_comes_over_http_gets_and_does_what_is_theirs(theirs: Jobs, name: str, may: str) -> None:
    one = await who(name, theirs)
    await see(one, theirs, may)
    await list_them(one, theirs, name, may)
    await steer(one, theirs, may)


async def see(one: Who, theirs: Jobs, may: str) -> None:
    for job, sees in ((theirs.going, may != "nothing"), (theirs.done, may in ("all", "see"))):
        found = 200 if sees else 404
        for path in ("", "?after=0", "?after=0&wait=0.1", "fragments", "stream"):
            status = (await one.get(f"jobs/{job}/{path}")).status_code
            assert status == (286 if sees and path == "fragments" and job == theirs.done else found), (path, job)
        # A link has a page of its own.
        page = 404 if not sees else 303 if may == "link" else 200
        assert (await one.get(f"jobs/{job}/", **PAGE)).status_code == page
        result = (await one.get(f"jobs/{job}/result")).status_code
        assert result == (404 if not sees else 303 if job == theirs.done else 202)
        assert (await one.get(f"updates?job={job}")).json()["frames"][0]["type"] == ("snapshot" if sees else "error")  # type: ignore[attr-defined]
        stream = await one.get(f"updates?job={job}&channel={job}", accept="text/event-stream")
        coming = events(stream)
        frames = [await anext(coming), await anext(coming)]
        await coming.aclose()
        assert [each["type"] for each in frames] == (["subscribed", "snapshot"] if sees else ["error", "error"])
        assert sees or "secret" not in str(frames)
    assert (await one.get(f"jobs/{theirs.done}/file")).status_code == (200 if may in ("all", "see") else 404)
    # Nobody reports with anything but the job's own token.
    assert (await one.post(f"jobs/{theirs.going}/report")).status_code == 401


async def steer(one: Who, theirs: Jobs, may: str) -> None:
    refused = {"all": 202, "see": 403}
    assert (await one.post(f"jobs/{theirs.going}/cancel")).status_code == (refused | {"link": 403}).get(may, 404)
    assert (await one.post(f"jobs/{theirs.failed}/retry")).status_code == refused.get(may, 404)
    again = await Job.objects.filter(retry_of__id=theirs.failed).afirst()
    # Whoever tries it again, it is its owner's.
    assert (again.owner if again else None) == (OWNER if may == "all" else None)
    assert (await Job.objects.aget(pk=theirs.going)).state.startswith("cancel" if may == "all" else "running")
    started = await one.post("jobs/")
    assert started.status_code == (403 if may == "link" else 202)
    assert await Job.objects.filter(owner__startswith="nobody").acount() == 0


async def list_them(one: Who, theirs: Jobs, name: str, may: str) -> None:
    sees = may in ("all", "see")

    async def found(path: str, status: int = 200, **headers: str) -> Any:
        response = await one.get(path, **headers)
        assert response.status_code == status, path
        return {each["job"] for each in response.json()["jobs"]} if status == 200 and not headers else None  # type: ignore[attr-defined]

    mine = {theirs.going, theirs.done, theirs.failed}
    assert await found("jobs/") == (mine if name == "owner" else set())
    assert await found(f"jobs/?parent={theirs.done}") == ({theirs.child} if sees else set())
    others = sees and name != "owner"
    assert await found(f"jobs/?owner={OWNER}", 200 if sees else 404) == (mine if sees else None)
    everybody = await found("jobs/?owner=*", 200 if others else 404)
    assert everybody is None or mine <= everybody
    first = await one.get(f"jobs/?owner={OWNER}&limit=2")
    if sees:
        assert {each["job"] for each in (await one.http.http.get(first.json()["next"])).json()["jobs"]} <= mine  # type: ignore[attr-defined]


@pytest.fixture
async def connect(tasks: Run) -> AsyncIterator[Callable[[Who], Awaitable[Socket]]]:
    sockets: list[Socket] = []

    async def made(one: Who) -> Socket:
        socket = Socket(tasks, one.scope)
        sockets.append(socket)
        await socket.hear("hello")
        return socket

    yield made
    for socket in sockets:
        for frame in socket.frames:
            SCHEMA.validate(frame)


Connect = Callable[[Who], Awaitable[Socket]]


async def answer(socket: Socket, **frame: Any) -> str:
    """Return the type of the frame that answers, or the code of the refusal."""
    ref = f"r{len(socket.frames)}"
    socket.say({**frame, "ref": ref})
    await until(lambda: any(each.get("ref") == ref for each in socket.frames))
    (found,) = (each for each in socket.frames if each.get("ref") == ref)
    return str(found.get("code") or found["type"])


@everybody
async def test_whoever_comes_over_a_websocket_gets_and_does_what_is_theirs(
    theirs: Jobs, connect: Connect, name: str, may: str
) -> None:
    socket = await connect(await who(name, theirs))
    sees = may in ("all", "see")
    unknown = {"nothing": "not_found", "link": "not_found"}.get(may)
    for job, seen in ((theirs.going, may != "nothing"), (theirs.done, sees)):
        assert await answer(socket, action="watch", job=job) == ("snapshot" if seen else "not_found")
        assert await answer(socket, action="subscribe", channel=job) == ("subscribed" if seen else "not_found")
    if may != "nothing":
        await socket.hear("update")
    assert await answer(socket, action="retry", job=theirs.failed) == (
        unknown or ("forbidden" if may == "see" else "accepted")
    )
    steers = {"all": "snapshot", "see": "forbidden", "link": "forbidden"}.get(may, "not_found")
    assert await answer(socket, action="cancel", job=theirs.going) == steers
    assert await answer(socket, action="list") == "jobs"
    assert await answer(socket, action="start") == ("forbidden" if may == "link" else "accepted")
    assert await answer(socket, action="subscribe", channel="me") == ("not_found" if may == "link" else "subscribed")
    if may in ("nothing", "link"):
        listed = (await socket.hear("jobs"))["jobs"]
        assert not {each["job"] for each in listed} & {theirs.going, theirs.done, theirs.failed}
    if may == "nothing":
        assert "secret" not in str(socket.frames)
        assert not [each for each in hub()._sinks if each[0] == OWNER]


async def test_what_is_ones_own_costs_no_more_questions_than_it_did(
    theirs: Jobs, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody looks at it meanwhile: of a job that is held, the row is asked for too.
    remote.say(Reading(State.RUNNING, 60, again=60_000), job=theirs.going)
    await until(lambda: _rests(theirs.going))
    asker = Asker(OWNER)
    monkeypatch.setattr(caller, "ask", None)  # nobody is asked
    asked: list[str] = []
    known = QuerySet._fetch_all
    # Of what others ask meanwhile, nothing is counted; threads that work for us have our context.
    ours = ContextVar("ours", default=False)

    def counted(self: Any) -> None:
        if ours.get():
            asked.append(str(self.query))
        known(self)

    async def cost(question: Awaitable[object]) -> int:
        del asked[:]
        await question
        return len(asked)

    monkeypatch.setattr(QuerySet, "_fetch_all", counted)
    ours.set(True)
    assert await cost(asker.get(theirs.going)) == await cost(jobs.aget(theirs.going, owner=OWNER))
    assert await cost(asker.get(theirs.done)) == await cost(jobs.aget(theirs.done, owner=OWNER))
    assert await cost(asker.page()) == await cost(jobs.apage(owner=OWNER))
    feed = Feed(asker)
    assert await cost(feed.watch(theirs.going)) == await cost(jobs.aget(theirs.going, owner=OWNER))
    assert not rounds()._watchers
    await feed.aclose()
