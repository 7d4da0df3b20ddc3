"""`delay.send` and its twin: what they store, what they refuse."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.utils.safestring import mark_safe

from progrock import delay, registry
from progrock.delay import INTAKE, InvalidMessage, MemoryStore, RedisStore, Relay, Scheduler
from progrock.delay import outbox as outbox_module
from progrock.delay.message import entry_key, unpack
from tests.conftest import until
from tests.documents import code
from tests.redis import RedisServer

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


ENDLESS: dict[str, Any] = {}
ENDLESS["n"] = ENDLESS


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore()
    delay.setup(lambda: store)
    yield store
    delay.setup(registry.store)


@pytest.mark.parametrize(("named", "alias"), [("", "work"), ("default", "default")])
async def test_it_arrives_on_the_relays_layer_or_the_one_that_is_named(
    named: str, alias: str, store: MemoryStore, tasks: Run
) -> None:
    tasks(Scheduler(store, get_channel_layer("work"), standing=[INTAKE], gap=1).run())
    tasks(Relay(store, "work").run())
    message = {"type": "t", "n": [1, "ü", b"\x00"]}
    assert await delay.send("c", message, delay=10, layer=named)
    assert await asyncio.wait_for(get_channel_layer(alias).receive("c"), 60) == message


async def test_a_key_is_stored_once_and_replaced_when_asked_for(store: MemoryStore) -> None:
    assert await delay.send("c", {"n": 1}, delay=50_000, key="k") == "k"
    assert await delay.send("c", {"n": 2}, delay=50_000, key="k") is None
    assert await store.depth() == 1
    assert await delay.send("c", {"n": 3}, delay=50_000, key="k", replace=True) == "k"
    assert await store.depth() == 1
    assert await delay.remove("k")
    assert not await delay.remove("k")
    assert await store.depth() == 0


async def test_keys_of_messages_are_not_those_of_other_entries(store: MemoryStore) -> None:
    await store.schedule([delay.NewEntry("job", "c", b"")])
    assert await delay.send("c", {}, delay=50_000, key="job", replace=True) == "job"
    assert not await delay.remove("another")
    assert await store.depth() == 2


async def test_a_text_that_a_template_made_is_a_text(store: MemoryStore) -> None:
    key = await delay.send("c", {"html": mark_safe("<b>")}, delay=0)
    assert key
    (entry,) = await store.peek([entry_key(key)])
    assert entry
    html = unpack(entry.message).content["html"]
    assert type(html) is str
    assert html == "<b>"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"channel": "ü"}, "channel"),
        ({"channel": ""}, "channel"),
        ({"message": None}, "content"),
        ({"message": {"n": object()}}, "content"),
        ({"message": {"n": [datetime(2017, 1, 1)]}}, "content"),
        ({"message": {"n": {1, 2}}}, "content"),
        ({"message": {7: "n"}}, "texts as the keys"),
        ({"message": ENDLESS}, "content that ends"),
        ({"message": {"n": 2**70}}, "MessagePack"),
        ({"message": {"n": "\ud800"}}, "MessagePack"),
        ({"delay": -1}, "delay"),
        ({"delay": "1"}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"key": ""}, "key"),
        ({"key": "x" * 201}, "key"),
        ({"key": 7}, "key"),
        ({"layer": None}, "layer"),
    ],
)
async def test_what_cannot_be_sent_is_refused_where_it_is_made(
    store: MemoryStore, words: dict[str, Any], reason: str
) -> None:
    arguments = {"channel": "c", "message": {"type": "t"}, "delay": 1, **words}
    with pytest.raises(InvalidMessage, match=f"Expected .*{reason}"):
        await delay.send(**arguments)
    assert await store.depth() == 0


def test_the_sync_twin_leaves_no_connections_behind(redis: RedisServer) -> None:
    store = RedisStore.from_url(redis.url)
    delay.setup(lambda: store)
    try:
        for n in range(5):
            assert delay.send_sync("c", {"n": n}, delay=60_000, key=f"{n}") == f"{n}"
        threads = [threading.Thread(target=delay.remove_sync, args=[f"{n}"]) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert redis.cli("HLEN", "{delay.0}:entries") == "2"
        assert len(store._scripts._link) == 0
        assert len(redis.cli("CLIENT", "LIST").splitlines()) == 1  # who asks
    finally:
        delay.setup(registry.store)


async def test_the_sync_twin_from_a_thread_of_a_running_loop_uses_its_connections(redis: RedisServer) -> None:
    from asgiref.sync import sync_to_async

    store = RedisStore.from_url(redis.url)
    delay.setup(lambda: store)
    try:
        await sync_to_async(delay.send_sync)("c", {}, delay=60_000)
        assert len(store._scripts._link) == 1
        assert await store.depth() == 1
    finally:
        await store.aclose()
        delay.setup(registry.store)


async def test_without_a_store_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_store", None)
    with pytest.raises(RuntimeError, match=r"delay\.setup"):
        await delay.send("c", {}, delay=1)


async def test_the_how_to_works(store: MemoryStore, tasks: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    exec(code("howto/delay-a-message.md", "send"), scope)
    await scope["remind"]("ann")
    await scope["not_yet"]("ann")
    (entry,) = await store.peek(["asgi.delay:remind-ann"])
    assert entry is not None
    await scope["never_mind"]("ann")
    assert await store.depth() == 0
    layer = get_channel_layer("work")
    exec(f"async def send(layer):\n    {code('howto/delay-a-message.md', 'channels-1')}", scope)
    await scope["send"](layer)
    assert (await layer.receive("asgi.delay"))["delay"] == 500


async def test_the_consumer_of_the_how_to_works(tasks: Run, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    exec(code("howto/delay-a-message.md", "consumer"), scope)
    exec(code("howto/delay-a-message.md", "routing"), scope)
    layer = get_channel_layer("work")
    tasks(Scheduler(registry.store(), layer, gap=1).run())
    tasks(delay.Worker(scope["application"], ["watch"], layer).run())
    await scope["watch"]("a job")
    told: list[str] = []

    def over() -> bool:
        told.extend(capsys.readouterr().out.splitlines())
        return told[-1:] == ["a job 100"]

    await until(over)
    assert told == [f"a job {min(n, 100)}" for n in range(3, 103, 3)]
