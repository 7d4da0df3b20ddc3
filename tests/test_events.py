"""Events: they reach whom they are for and nobody else, and a slow reader or a dead Redis costs nothing but events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.test import RequestFactory, override_settings

from progrock import jobs, updates
from progrock.checks import check
from progrock.conf import parse
from progrock.events import DATA_MOST, TO_MOST, atrigger, trigger
from progrock.exceptions import Invalid, NotFound, TooMany, Unavailable
from progrock.feed import Feed
from progrock.protocol import Snapshot, State
from progrock.subscriptions import BYTES_MOST, CHANNELS_MOST, EVENTS_MOST
from progrock.updates import Event, hub
from tests.conftest import until
from tests.documents import code
from tests.processes import free_port
from tests.redis import RedisServer

JOB = "6f1f64f0-6c0e-4c39-9d0c-6a2f6a4f0b51"
PUB_SUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
asked: list[tuple[Any, str, str]] = []


async def may(user: Any, owner: str, channel: str) -> Any:
    asked.append((user, owner, channel))
    if channel == "broken":
        raise RuntimeError("no idea")
    return {"room": owner != "session:stranger", "truthy": "yes"}.get(channel.partition(".")[0], False)


def may_in_a_thread(user: Any, owner: str, channel: str) -> bool:
    return threading.current_thread() is not threading.main_thread() and user.username == channel


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def get(job: str, *, owner: str) -> Snapshot:
        if (owner, job) != ("session:me", JOB):
            raise NotFound("Expected the id of a job of yours.")
        return Snapshot(JOB, "s", "t", State.RUNNING, created=0)

    monkeypatch.setattr(jobs, "aget", get)
    asked.clear()
    with override_settings(PROGROCK={"MAY_SUBSCRIBE": f"{__name__}.may"}):
        yield


@pytest.fixture
async def page() -> AsyncIterator[Callable[..., Any]]:
    """Opens a page of an owner's that has subscribed to some channels."""
    feeds: list[Feed] = []

    async def make(owner: str, *channels: str) -> Feed:
        feed = Feed(owner)
        feeds.append(feed)
        for channel in channels:
            await feed.events.subscribe(channel)
        return feed

    yield make
    for feed in feeds:
        await feed.aclose()
    assert not hub()._subscribers
    assert not +hub()._topics


def taken(feed: Feed) -> list[tuple[str, str, Any]]:
    frames = [json.loads(frame) for frame in feed.events.take()]
    assert {frame["type"] for frame in frames} <= {"event"}
    return [(frame["channel"], frame["event"], frame["data"]) for frame in frames]


async def heard(feed: Feed) -> list[tuple[str, str, Any]]:
    assert await feed.news(5)
    assert await feed.fetch() == []
    return taken(feed)


async def test_an_event_reaches_whom_it_is_for_and_nobody_else(page: Callable[..., Any]) -> None:
    mine = await page("session:me", "me", JOB, "room.7")
    mine_too = await page("session:me", "me")
    silent = await page("session:me")
    other = await page("session:other", "me", "room.7", "room.8")
    await atrigger("session:me", "a", 1)
    assert await heard(mine) == await heard(mine_too) == [("me", "a", 1)]
    await atrigger(uuid.UUID(JOB), "b", {"x": [None]})
    assert await heard(mine) == [(JOB, "b", {"x": [None]})]
    await atrigger("channel:room.7", "c")
    assert await heard(mine) == await heard(other) == [("room.7", "c", None)]
    await atrigger(["channel:room.8", "session:me", "session:me"], "d")
    assert await heard(other) == [("room.8", "d", None)]
    assert await heard(mine) == await heard(mine_too) == [("me", "d", None)]
    await mine.events.unsubscribe("me")
    await atrigger(["session:me", "session:nobody", "channel:room.7"], "e")
    assert await heard(mine) == [("room.7", "e", None)]
    assert taken(silent) == []


async def test_several_to_one_are_one_message_for_each_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    class Layer:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            sent.append(group)
            # What a process of the version before does with it.
            assert updates._decode(message["updates"]) == []

    monkeypatch.setattr(updates, "get_channel_layer", Layer)
    await atrigger([f"user:{n}" for n in range(TO_MOST)], "a")
    assert len(sent) == updates.SHARDS


@pytest.mark.django_db(transaction=True)
async def test_a_user_a_request_and_their_text_are_the_same(page: Callable[..., Any]) -> None:
    user = await User.objects.acreate(username="u")
    feed = await page(f"user:{user.pk}", "me")
    request = RequestFactory().get("/")
    request.user = user
    for to in (user, request, f"user:{user.pk}"):
        await atrigger(to, "a")
        assert await heard(feed) == [("me", "a", None)]


REFUSED: list[tuple[Any, str, Any, str]] = [
    (None, "a", 1, "xpected a user"),
    (7, "a", 1, "xpected a user"),
    ("", "a", 1, "xpected a user"),
    ("room.7", "a", 1, "xpected a user"),
    ("user:", "a", 1, "xpected a user"),
    (AnonymousUser(), "a", 1, "xpected a user"),
    (User(), "a", 1, "xpected a user"),
    ([], "a", 1, "expected 1 to 100"),
    (["user:1"] * 101, "a", 1, "expected 1 to 100"),
    ([["user:1"]], "a", 1, "xpected a user"),
    ("channel:", "a", 1, "letters, digits"),
    ("channel:me", "a", 1, "letters, digits"),
    (f"channel:{JOB}", "a", 1, "letters, digits"),
    ("channel:a b", "a", 1, "letters, digits"),
    ("channel:a\n", "a", 1, "letters, digits"),
    ("channel:" + "a" * 101, "a", 1, "letters, digits"),
    ("user:1", "", 1, "expected a name"),
    ("user:1", "a\n", 1, "expected a name"),
    ("user:1", "a" * 201, 1, "expected a name"),
    ("user:1", "a", "x" * (DATA_MOST - 1), "expected at most 10240 bytes"),
    ("user:1", "a", object(), "that JSON can say"),
    ("user:1", "a", {1j: 1}, "that JSON can say"),
]


@pytest.mark.parametrize(("to", "name", "data", "says"), REFUSED)
async def test_what_can_be_no_event_is_refused_where_it_is_made(to: Any, name: str, data: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        await atrigger(to, name, data)


async def test_what_is_as_large_as_may_be_comes_whole(page: Callable[..., Any]) -> None:
    nested: Any = []
    nested.append(nested)
    with pytest.raises(Invalid, match="JSON"):
        await atrigger("session:me", "a", nested)
    feed = await page("session:me", "me")
    await atrigger("session:me", "a" * 200, "x" * (DATA_MOST - 2))
    assert await heard(feed) == [("me", "a" * 200, "x" * (DATA_MOST - 2))]


async def test_who_may_is_asked_and_only_true_is_yes(page: Callable[..., Any]) -> None:
    feed = await page("session:stranger", "me")
    for channel in ("room.7", "truthy", "unknown", str(uuid.uuid4()), JOB):
        with pytest.raises(NotFound):
            await feed.events.subscribe(channel)
    assert [each[1:] for each in asked] == [("session:stranger", name) for name in ("room.7", "truthy", "unknown")]
    assert all(isinstance(user, AnonymousUser) for user, *_ in asked)
    for channel in ("", "a b", "a\n", "é", JOB.upper(), "a" * 101):
        with pytest.raises(Invalid):
            await feed.events.subscribe(channel)
    await atrigger([f"job:{JOB}"[4:], "channel:room.7", "session:stranger"], "a")
    assert await heard(feed) == [("me", "a", None)]


async def test_who_may_no_longer_hears_no_more(page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    feed = await page("session:me", "room.7", "me")
    with override_settings(PROGROCK={}), pytest.raises(NotFound):
        await feed.events.subscribe("room.7")
    await atrigger(["channel:room.7", "session:me"], "a")
    assert await heard(feed) == [("me", "a", None)]


@pytest.mark.django_db(transaction=True)
async def test_a_function_of_a_thread_is_given_the_user(page: Callable[..., Any]) -> None:
    user = await User.objects.acreate(username="ada")
    with override_settings(PROGROCK={"MAY_SUBSCRIBE": f"{__name__}.may_in_a_thread"}):
        feed = await page(f"user:{user.pk}", "ada")
        with pytest.raises(NotFound):
            await feed.events.subscribe("bob")
        await User.objects.filter(pk=user.pk).aupdate(is_active=False)
        with pytest.raises(NotFound):
            await feed.events.subscribe("ada")


async def test_a_function_that_fails_is_no_yes(page: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    feed = await page("session:me")
    with pytest.raises(Unavailable):
        await feed.events.subscribe("broken")
    assert "no idea" in caplog.text
    assert not hub()._subscribers


def test_a_function_that_is_not_there_is_found_at_start_up() -> None:
    for path, says in (("tests.nothing.here", "No module"), (f"{__name__}.JOB", "expected a function")):
        with override_settings(PROGROCK={"MAY_SUBSCRIBE": path}):
            (error, *_) = check(None)
            assert error.id == "progrock.E001"
            assert says in error.msg


async def test_a_client_has_only_so_many_channels(page: Callable[..., Any]) -> None:
    feed = await page("session:me", *(f"room.{n}" for n in range(CHANNELS_MOST)))
    with pytest.raises(TooMany):
        await feed.events.subscribe("me")
    await feed.events.subscribe("room.0")
    await feed.events.unsubscribe("room.0")
    await feed.events.subscribe("me")


async def test_who_reads_slowly_hears_the_newest(page: Callable[..., Any]) -> None:
    feed = await page("session:me", "me")
    for n in range(EVENTS_MOST + 5):
        feed.events.hear(Event("session:me", b'{"type":"event","channel":"me","event":"a","data":%d}' % n))
    assert [data for *_, data in taken(feed)] == list(range(5, EVENTS_MOST + 5))
    for _ in range(50):
        feed.events.hear(Event("session:me", b"x" * 10_000))
    assert len(feed.events.take()) == BYTES_MOST // 10_000
    assert feed.events.take() == []


def test_in_a_transaction_an_event_waits_for_the_commit(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    async def spread(events: list[Event]) -> None:
        sent.extend(event.topic for event in events)

    monkeypatch.setattr(updates, "spread", spread)
    with transaction.atomic():
        with pytest.raises(Invalid):
            trigger("user:1", "")
        trigger("user:1", "a")
    assert sent == []


@pytest.mark.django_db(transaction=True)
async def test_a_transaction_that_is_rolled_back_sends_nothing(page: Callable[..., Any]) -> None:
    feed = await page("session:me", "me")

    def work(name: str) -> None:
        try:
            with transaction.atomic():
                trigger("session:me", name)
                if name == "no":
                    raise ValueError(name)
        except ValueError:
            pass

    for name in ("yes", "no", "yes"):
        await sync_to_async(work)(name)
    await until(lambda: len(feed.events._waiting) == 2)
    assert taken(feed) == [("me", "yes", None)] * 2


async def test_events_from_threads_come_and_leave_no_connection(page: Callable[..., Any], redis: RedisServer) -> None:
    layers = {"default": {"BACKEND": PUB_SUB, "CONFIG": {"hosts": [redis.url]}}}
    with override_settings(CHANNEL_LAYERS=layers):
        feed = await page("session:me", "me")
        before = redis.cli("CLIENT", "LIST").count("id=")
        threads = [threading.Thread(target=trigger, args=("session:me", f"{n}")) for n in range(5)]
        for thread in threads:
            thread.start()
        await until(lambda: len(feed.events._waiting) == 5)
        await until(lambda: not any(thread.is_alive() for thread in threads))
        assert sorted(name for _, name, _ in taken(feed)) == list("01234")
        await until(lambda: redis.cli("CLIENT", "LIST").count("id=") <= before)
        await feed.aclose()


async def test_without_a_redis_an_event_is_lost_and_nobody_is_held_up(caplog: pytest.LogCaptureFixture) -> None:
    layers = {"default": {"BACKEND": PUB_SUB, "CONFIG": {"hosts": [f"redis://127.0.0.1:{free_port()}"]}}}
    with override_settings(CHANNEL_LAYERS=layers):
        began = time.monotonic()
        await atrigger("user:1", "a")
        await asyncio.to_thread(trigger, "user:1", "a")
        assert time.monotonic() - began < 10
    assert "heard by nobody" in caplog.text


class _Articles:
    """Those of a user, as far as the page asks for them."""

    def filter(self, *, pk: str) -> Any:
        return SimpleNamespace(exists=lambda: pk == "7")


async def test_what_the_how_to_says_works(page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, Any] = {}
    for label in ("send", "settings", "channels"):
        exec(code("howto/send-an-event.md", label), scope)
    author = SimpleNamespace(is_authenticated=True, article_set=_Articles())
    assert scope["may"](author, "user:1", "article.7") is True
    assert scope["may"](author, "user:1", "article.8") is False
    assert scope["may"](author, "user:1", "press.7") is False
    assert scope["may"](AnonymousUser(), "session:me", "article.7") is False
    assert parse(scope["PROGROCK"]).may_subscribe == "shop.channels.may"

    async def yes(user: Any, owner: str, channel: str) -> bool:
        return True

    monkeypatch.setattr("progrock.registry.may_subscribe", cache(lambda: yes))
    feed = await page("session:me", "me", "article.7")
    article = SimpleNamespace(author="session:me", pk=7)
    await sync_to_async(scope["commented"])(SimpleNamespace(article=article, text="Well!"))
    await until(lambda: len(feed.events._waiting) == 2)
    assert taken(feed) == [("me", "commented", {"article": 7}), ("article.7", "commented", {"text": "Well!"})]
