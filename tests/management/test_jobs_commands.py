"""What `rock` and `jobs` take and refuse, and whose jobs they show."""

from __future__ import annotations

import asyncio
import json
import uuid
from io import StringIO
from typing import Any
from unittest.mock import AsyncMock

import pytest
from channels.layers import InMemoryChannelLayer
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone
from msgspec.structs import replace

from progrock import jobs, testing
from progrock.exceptions import InvalidParams, Unavailable
from progrock.feed import Answer, Feed
from progrock.management import asked, follow, outcome
from progrock.models import Job
from progrock.protocol import Line, Resume, Snapshot, State
from progrock.testing import Reading
from progrock.updates import Update, was_told
from tests.redis import RedisServer
from tests.until import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def on_redis(settings: Any, redis: RedisServer) -> RedisServer:
    """The project with its schedule in Redis, and nobody who takes a step."""
    settings.PROGROCK = {**settings.PROGROCK, "STORE": redis.url}
    return redis


def say(*words: str) -> str:
    """Run a command and return what it prints."""
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


def refused(*words: str) -> str:
    """Run a command and return why it was refused."""
    with pytest.raises(CommandError) as refusal:
        say(*words)
    assert refusal.value.returncode == 2
    return str(refusal.value)


def ended(state: State, owner: str) -> str:
    """Make a job that is over, and return its id."""
    now = timezone.now()
    error = "remote" if state is State.FAILED else ""
    row = Job(service="synth", title="T", owner=owner, state=state, error=error, message="Over")
    row.created = row.changed = row.started = row.finished = now
    row.save()
    return str(row.pk)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=true", True),
        ("a=null", None),
        ('a="1"', "1"),
        ('a=["x",{"y":1}]', ["x", {"y": 1}]),
        ("a=7/8", "7/8"),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ("a=NaN", "NaN"),
        ("a={", "{"),
        (f"a={'[' * 100_000}", "[" * 100_000),
    ],
)
def test_a_value_is_json_or_text(pair: str, value: object) -> None:
    assert asked.params_of([pair]) == {"a": value}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], [""], ["a=1", "a=2"]])
def test_parameters_that_make_no_sense_are_refused(pairs: list[str]) -> None:
    with pytest.raises(InvalidParams, match="Expected"):
        asked.params_of(pairs)


def test_memory_settings_are_refused() -> None:
    for words in (["rock", "synth"], ["jobs"]):
        why = refused(*words)
        assert "'memory://'" in why
        assert "over HTTP: POST jobs/" in why


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["rock", "nix"], "Expected one of the services 'synth', got 'nix'"),
        (["rock", "track"], "started by code of its own"),
        (["rock", "synth", "length=-1"], "length"),
        (["rock", "synth", "length"], "Expected parameters as key=value, got 'length'"),
        (["rock", "synth", "meter=\udcff"], r"Expected parameters as key=value, got 'meter=\udcff'"),
        (["rock", "synth", "--user", "nobody\x1b[2J"], r"got 'nobody\x1b[2J'"),
        (["rock", "synth", "--owner", ""], "owner: expected 1 to 120 printable characters"),
        (["rock", "synth", "--owner", "a\nb"], r"got 'a\nb'"),
        (["rock", "synth", "--key", ""], "key: expected"),
        (["jobs", "nix"], "Expected the id of a job, got 'nix'"),
        (["jobs", "--cancel"], "Expected the ids of jobs with --cancel"),
        (["jobs", "--all", "--follow"], "got --all alone"),
        (["jobs", str(uuid.UUID(int=1))], "Expected the id of a job of 'cli:"),
        (["jobs", str(uuid.UUID(int=1)), "--all", "--follow"], "Expected the id of a job"),
    ],
)
def test_what_makes_no_sense_is_refused(on_redis: RedisServer, words: list[str], why: str) -> None:
    assert why in refused(*words)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "words", [["jobs", "--limit", "0"], ["jobs", "--limit", "x"], ["jobs", "--all", "--owner", "a"], ["rock"]]
)
def test_wrong_words_are_told_how_it_is_used(words: list[str]) -> None:
    with pytest.raises(CommandError, match=r"expected a whole number|not allowed|required"):
        say(*words)


def test_a_detached_start_prints_the_id(on_redis: RedisServer) -> None:
    job = say("rock", "--detach", "synth", "--key", "tonight", "meter=7/8", "length=2")
    row = Job.objects.get()
    assert (job, row.params["meter"], row.params["length"]) == (str(row.pk), "7/8", 2)
    assert row.owner.startswith("cli:")
    assert say("rock", "synth", "--detach", "--key", "tonight", "meter=7/8", "length=2") == job
    assert json.loads(say("rock", "synth", "--detach", "--json", "--key", "tonight"))["job"] == job
    assert Job.objects.count() == 1


def test_lists_show_the_jobs_of_one_owner(on_redis: RedisServer) -> None:
    user = get_user_model().objects.create_user("ann")
    hers = say("rock", "synth", "--detach", "--user", "ann")
    theirs = say("rock", "synth", "--detach", "--owner", "cron")
    assert Job.objects.get(pk=hers).owner == f"user:{user.pk}"
    assert say("jobs") == "No jobs."
    assert say("jobs", "--user", "ann").split()[0] == hers
    assert len(say("jobs", "--owner", "cron").splitlines()) == 1
    everybody = [json.loads(each) for each in say("jobs", "--all", "--json").splitlines()]
    assert [(each["job"], each["owner"]) for each in everybody] == [(theirs, "cron"), (hers, f"user:{user.pk}")]
    assert len(say("jobs", "--all", "--limit", "1").splitlines()) == 1
    assert f"user:{user.pk}" in say("jobs", hers, "--all")
    for more in ([], ["--follow"], ["--cancel"]):
        assert "got " + hers in refused("jobs", hers, "--owner", "cron", *more)
    assert Job.objects.get(pk=hers).state == State.PENDING


def test_a_job_is_cancelled_by_its_id(on_redis: RedisServer) -> None:
    job = say("rock", "synth", "--detach")
    assert "Cancelling" in say("jobs", job, "--cancel")
    assert Job.objects.get().state == State.CANCELLING


def test_following_exits_by_outcome(on_redis: RedisServer) -> None:
    good, bad, off = (ended(state, "a") for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED))
    other = ended(State.SUCCEEDED, "b")
    told = say("jobs", good, "--follow", "--owner", "a")
    assert told == "Done 100 % T: Over"
    assert len(say("jobs", good, other, "--follow", "--all").splitlines()) == 2
    for jobs_ in ([bad], [off], [good, bad]):
        with pytest.raises(SystemExit) as end:
            say("jobs", *jobs_, "--follow", "--owner", "a")
        assert end.value.code == 1


@pytest.mark.parametrize(
    ("states", "interrupted", "code"),
    [
        ("succeeded", False, 0),
        ("succeeded", True, 0),
        ("failed", False, 1),
        ("failed", True, 1),
        ("cancelled", False, 1),
        ("cancelled", True, 130),
    ],
)
def test_the_exit_code_is_that_of_the_end(states: str, interrupted: bool, code: int) -> None:
    snapshot = Snapshot(job="j", service="s", title="", state=State(states), created=0)
    assert outcome.code_of([snapshot], interrupted=interrupted) == code


@pytest.mark.parametrize("lost", [False, True])
async def test_whoever_follows_hears_each_line_once_and_the_end(monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    if lost:
        monkeypatch.setattr(InMemoryChannelLayer, "group_send", AsyncMock())
    monkeypatch.setattr(follow, "ASK", 0.02)  # asked again and again, which tells what is known already
    with testing.rock() as remote:
        lines = [Line(f"line {n}") for n in range(3)]
        looks = [Reading(State.RUNNING, percent=n * 10.0, lines=lines[:n]) for n in range(4)]
        remote.say(*looks, Reading(State.SUCCEEDED))
        job = (await jobs.astart(owner="a")).job

        async def listen() -> list[follow.Told]:
            async with follow.feed_of("a") as feed:
                return [each async for each in follow.follow(feed, [job])]

        listening = asyncio.ensure_future(listen())
        await testing.adrain()
        told = await asyncio.wait_for(listening, 60)
    assert told[-1].snapshot.state is State.SUCCEEDED
    assert [each.snapshot.complete for each in told].count(True) == 1
    assert [line.text for each in told for line in each.lines] == ["line 0", "line 1", "line 2"]


async def test_what_is_asked_again_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that is read late, and one that begins again, with the cursor that comes back each time."""
    monkeypatch.setattr(follow, "ASK", 0.001)
    running = Snapshot(job="j", service="s", title="", state=State.RUNNING, created=0, seq=5)
    lines = [Line(f"line {n}", n=n) for n in range(1, 4)]
    feed = AsyncMock()
    feed.next.return_value = []
    feed.watch.side_effect = [
        Answer(running, None, ()),  # the journal is away
        Answer(running, Resume.RESET, lines[:2]),
        Answer(running, Resume.RESET, lines),
        Answer(replace(running, state=State.SUCCEEDED, seq=6), Resume.RECOVERED, ()),
    ]
    told = [each async for each in follow.follow(feed, ["j"])]
    assert [line.n for each in told for line in each.lines] == [1, 2, 3]
    assert [call.args[1] for call in feed.watch.call_args_list] == [None, None, 5, 5]


async def test_who_follows_all_of_theirs_hears_of_those_to_come() -> None:
    with testing.rock():
        first = (await jobs.astart(owner="a")).job
        await jobs.astart(owner="b")
        states: dict[str, State] = {}

        async def listen() -> None:
            async with follow.feed_of("a") as feed:
                async for each in follow.follow_all(feed):
                    states[each.snapshot.job] = each.snapshot.state
                    if list(states.values()) == [State.SUCCEEDED] * 2:
                        return

        listening = asyncio.ensure_future(listen())
        await until(lambda: states)
        second = (await jobs.astart(owner="a")).job
        await testing.adrain()
        await asyncio.wait_for(listening, 60)
    assert list(states) == [first, second]


async def test_who_follows_is_no_page() -> None:
    with testing.rock():
        job, other = [(await jobs.astart(owner="a")).job for _ in range(2)]
        await testing.adrain()
        async with follow.feed_of("a") as feed:
            assert [each.snapshot.complete async for each in follow.follow(feed, [job])] == [True]
            assert not feed.deliver(Update("a", other, 2**60, complete=True, body=b"", asks=True))
        page = Feed("a")
        await page.watch(other)  # as a page does
        await until(lambda: was_told("a", other))
        await page.aclose()
        assert not await was_told("a", job)


async def test_who_cannot_be_asked_is_asked_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PAUSE", 0.01)
    monkeypatch.setattr(follow, "PATIENCE", 1.0)
    asked_ = 0

    async def ask() -> None:
        nonlocal asked_
        asked_ += 1
        raise Unavailable("Expected a database that answers; it does not. Try again later.")

    with pytest.raises(Unavailable):
        await follow._patiently(ask)
    assert asked_ > 2
