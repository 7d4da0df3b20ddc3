"""The doctor: what is wrong is found, with how to mend it, and nothing that hangs holds it up."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from progrock import registry
from progrock.delay import Dead, NewEntry, Reader, RedisStore, Status
from progrock.doctor import Finding, examine, host, looks, rows
from progrock.doctor.layers import only_on
from progrock.doctor.schedule import findings
from progrock.doctor.server import clock
from progrock.models import Delivery, Job
from progrock.protocol import State
from tests.redis import RedisServer

PAGE = (Path(__file__).parent.parent / "docs/howto/run-in-production.md").read_text()
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis as it should be."""
    with RedisServer(aof=True) as server:
        yield server


@pytest.fixture
def site(settings: Any, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """The project on that Redis, empty."""
    monkeypatch.setattr(looks, "LIMIT", 10.0)  # a busy machine is not what is looked for
    server.cli("FLUSHALL")
    settings.PROGROCK = {**settings.PROGROCK, "STORE": server.url}
    settings.CHANNEL_LAYERS = layers(server)
    settings.SECURE_SSL_REDIRECT = False  # of which the checks for deployment warn
    return server


@pytest.fixture
def hurried(site: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give whatever is asked three seconds."""
    monkeypatch.setattr(looks, "LIMIT", 3.0)


def layers(server: RedisServer) -> dict[str, Any]:
    hosts = [{"address": server.url, "socket_timeout": 15}]
    return {
        "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": hosts}},
        "work": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": hosts, "expiry": 4}},
    }


def look() -> dict[str, Finding]:
    """Return what the doctor finds, by what it is about."""
    found = examine()
    assert len({each.about for each in found}) == len(found)
    assert all(each.remedy or each.level == "ok" for each in found)
    return {each.about: each for each in found}


def with_store(server: RedisServer, work: Any) -> None:
    async def run() -> None:
        store = RedisStore.from_url(server.url)
        try:
            await work(store)
        finally:
            await store.aclose()

    asyncio.run(run())


async def alive(store: RedisStore) -> None:
    await store.beat("s", 60_000)
    await store.announce(registry.CHANNEL, "prog-rocker.one", 7, 60_000)


def job(age: float, **fields: Any) -> Job:
    """Make a row that is so many seconds old."""
    at = timezone.now() - timedelta(seconds=age)
    return Job.objects.create(service="synth", owner="user:1", created=at, changed=at, **fields)


def test_all_is_well_where_it_is(site: RedisServer) -> None:
    with_store(site, alive)
    found = look()
    table = PAGE.partition("## Ask the doctor")[2]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}
    assert told == {re.sub(r"^settings .*", "settings", about) for about in found}
    own = {about: each for about, each in found.items() if not about.startswith("settings")}
    assert {each.level for each in own.values()} == {"ok"}, own
    assert list(own) == [
        "redis",
        "redis memory",
        "redis file",
        "clock",
        "migrations",
        "layer default",
        "layer work",
        "schedulers",
        "workers",
        "lateness",
        "dead entries",
        "jobs",
        "deliveries",
        "daphne",
        "redis-py",
    ]
    assert found["settings security.W008"].level == "warning"
    assert found["workers"].says == "1 alive, with 0 of 7 slots taken."


@pytest.mark.parametrize(
    ("option", "value", "about", "level", "remedy"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis", "error", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory-policy", "volatile-ttl", "redis memory", "warning", "CONFIG SET maxmemory-policy noeviction"),
        ("appendonly", "no", "redis file", "warning", "CONFIG SET appendonly yes"),
    ],
)
def test_a_redis_that_loses_things_is_named(
    site: RedisServer, option: str, value: str, about: str, level: str, remedy: str
) -> None:
    before = site.cli("CONFIG", "GET", option).split()[1]
    site.cli("CONFIG", "SET", option, value)
    try:
        found = look()[about]
    finally:
        site.cli("CONFIG", "SET", option, before)
    assert found.level == level
    assert remedy in found.remedy


def test_a_redis_that_is_nearly_full_is_named(site: RedisServer) -> None:
    site.cli("SETRANGE", "much", 9_000_000, "x")
    used = dict(line.split(":") for line in site.cli("INFO", "memory").split() if ":" in line)["used_memory"]
    site.cli("CONFIG", "SET", "maxmemory", int(used) + 500_000)
    try:
        found = look()["redis memory"]
    finally:
        site.cli("CONFIG", "SET", "maxmemory", 0)
    assert (found.level, "Raise maxmemory" in found.remedy) == ("warning", True)


def test_nobody_at_work_is_named(site: RedisServer) -> None:
    found = look()
    assert found["schedulers"].level == found["workers"].level == "error"
    assert "manage.py rundelay" in found["schedulers"].remedy
    assert "manage.py runworker prog-rocker" in found["workers"].remedy


def test_the_dead_are_counted(site: RedisServer) -> None:
    async def die(store: RedisStore) -> None:
        await store.announce("c", "c.one", 1, 60_000)
        await store.schedule([NewEntry("k", "c", b"")])
        await store.settle([(lease, Dead("no")) for lease in await store.lease(1, 5_000)])

    with_store(site, die)
    found = look()["dead entries"]
    assert (found.level, found.says[:1]) == ("warning", "1")
    assert "manage.py delayed dead" in found.remedy


def test_unfinished_jobs_and_late_deliveries_without_an_entry_are_named(site: RedisServer) -> None:
    kept, lost, young = job(60), job(60), job(0)
    over = job(3600, state=State.FAILED.value, error="e", finished=timezone.now())
    at = timezone.now() - timedelta(hours=1)
    told = Delivery.objects.create(job=over, kind="call", target="a.b", created=at, until=timezone.now())
    with_store(site, lambda store: store.schedule([NewEntry(str(kept.pk), registry.CHANNEL, b"", 60_000)]))
    found = look()
    assert (found["jobs"].level, found["jobs"].says[:6]) == ("error", "1 of 2")
    assert (found["deliveries"].level, found["deliveries"].says[:6]) == ("error", "1 of 1")
    assert "manage.py reconcile" in found["jobs"].remedy
    keys = [str(each.pk) for each in (lost, young, told)]
    with_store(site, lambda store: store.schedule([NewEntry(key, registry.CHANNEL, b"", 60_000) for key in keys]))
    found = look()
    assert found["jobs"].level == "ok"
    assert (found["deliveries"].level, found["deliveries"].says[:6]) == ("warning", "1 wait")


def test_a_migration_that_is_missing_is_named(site: RedisServer) -> None:
    ((_, last),) = MigrationLoader(connection).graph.leaf_nodes("progrock")
    MigrationRecorder(connection).record_unapplied("progrock", last)
    try:
        found = look()["migrations"]
    finally:
        MigrationRecorder(connection).record_applied("progrock", last)
    assert (found.level, found.remedy) == ("error", "Apply them: manage.py migrate")
    assert f"progrock.{last}" in found.says


def test_a_redis_that_hangs_is_one_line(site: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LIMIT", 2.0)
    site.pause()
    start = time.monotonic()
    try:
        out = StringIO()
        with pytest.raises(CommandError, match=r"^Errors: 1\.$"):
            call_command("doctor", "--json", stdout=out)
    finally:
        took = time.monotonic() - start
        site.resume()
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    (wrong,) = [each for each in found if each["level"] == "error"]
    assert (wrong["about"], wrong["says"]) == ("redis", "Does not answer within 2 s.")
    assert "migrations" in [each["about"] for each in found]
    assert took < 15


def test_a_redis_that_is_away_is_one_line_and_layers_elsewhere_are_looked_at(
    site: RedisServer, redis: RedisServer, settings: Any
) -> None:
    settings.PROGROCK = {**settings.PROGROCK, "STORE": "redis://:secret@127.0.0.1:1/0"}
    settings.CHANNEL_LAYERS = layers(redis)
    found = look()
    assert [each.about for each in found.values() if each.level == "error"] == ["redis"]
    assert found["layer work"].level == "ok"
    assert not any("secret" in each.says for each in found.values())


@pytest.mark.usefixtures("hurried")
def test_a_layer_that_hangs_is_one_line(site: RedisServer, settings: Any) -> None:
    with RedisServer() as other:
        settings.CHANNEL_LAYERS = {**layers(site), "work": layers(other)["work"]}
        other.pause()
        try:
            found = look()
        finally:
            other.resume()
    assert found["layer default"].level == "ok"
    assert (found["layer work"].level, found["layer work"].says) == ("error", "Does not answer within 3 s.")


@pytest.mark.usefixtures("hurried")
def test_a_name_server_that_hangs_is_one_line(
    site: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, resolve = threading.Event(), socket.getaddrinfo

    def hang(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "slow.test":
            answer.wait(20)
        return resolve("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    settings.PROGROCK = {**settings.PROGROCK, "STORE": "redis://slow.test:1/0"}
    start = time.monotonic()
    try:
        found = look()
    finally:
        took = time.monotonic() - start
        answer.set()
    assert (found["redis"].level, found["redis"].says) == ("error", "Does not answer within 3 s.")
    assert found["layer work"].level == "ok"
    assert took < 15


@pytest.mark.parametrize(
    ("layer", "store", "only"),
    [
        (["redis://h:6379/0"], "redis://:pw@h/3", True),
        (["unix:///a/b"], "unix:///a/b", True),
        (["redis://h:6379/0", "redis://i/0"], "redis://h/0", False),
        (["redis://h:1/0"], "redis://h/0", False),
        ([("h", 6379)], "redis://i/0", False),
        ([{"sentinels": [("h", 1)]}], "redis+sentinel://h:1/m", False),
        (["redis://h:x/0"], "redis://h/0", False),
    ],
)
def test_a_layer_on_the_same_redis_is_known(settings: Any, layer: list[Any], store: str, only: bool) -> None:
    settings.CHANNEL_LAYERS = {"work": {"BACKEND": "x", "CONFIG": {"hosts": layer}}}
    assert only_on("work", store) is only


@pytest.mark.usefixtures("hurried")
def test_a_database_that_hangs_is_one_line(site: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(rows, "_unapplied", lambda: answer.wait(20))
    start = time.monotonic()
    try:
        found = look()
    finally:
        took = time.monotonic() - start
        answer.set()
    assert (found["migrations"].level, found["migrations"].says) == ("error", "Does not answer within 3 s.")
    assert found["redis"].level == found["jobs"].level == "ok"
    assert took < 15


def test_settings_that_cannot_be_read_are_named_and_the_rest_is_looked_at(settings: Any) -> None:
    settings.PROGROCK = {"STOER": "memory://"}
    found = look()
    assert "the nearest known one is 'STORE'" in found["settings progrock.E001"].says
    assert found["migrations"].level == "ok"


def test_layers_that_redis_py_would_cut_off_are_named(site: RedisServer, settings: Any) -> None:
    made = layers(site)
    made["work"]["CONFIG"]["hosts"] = [{"address": site.url, "socket_timeout": 1}]
    settings.CHANNEL_LAYERS = made
    assert look()["redis-py"].level == "error"


def test_what_is_for_development_only_is_named(settings: Any) -> None:
    settings.DEBUG, settings.SECRET_KEY, settings.ALLOWED_HOSTS = True, "short", []
    found = look()
    remedies = [found[f"settings security.{each}"].remedy for each in ("W018", "W009", "W020")]
    assert [remedy.split()[1] for remedy in remedies] == ["DEBUG", "SECRET_KEY", "ALLOWED_HOSTS"]
    settings.SILENCED_SYSTEM_CHECKS = ["security.W018"]
    assert "settings security.W018" not in look()


@pytest.mark.parametrize(
    ("installed", "level"), [("4.2.1", "error"), ("4.2.2", "ok"), ("4.10.0", "ok"), ("4.3", "ok"), ("5.0rc1", "ok")]
)
def test_an_old_daphne_is_named(monkeypatch: pytest.MonkeyPatch, installed: str, level: str) -> None:
    monkeypatch.setattr(host, "version", lambda name: installed)
    found = host.daphne()
    assert (found.level, installed in found.says) == (level, True)


@pytest.mark.parametrize(
    ("apart", "took", "level"),
    [
        (0.0, 0.1, "ok"),
        (0.9, 0.1, "ok"),
        (-0.9, 0.0, "ok"),
        (2.0, 1.5, "ok"),
        (2.0, 0.1, "warning"),
        (-90, 0.1, "error"),
    ],
)
def test_clocks_that_are_apart_are_named(apart: float, took: float, level: str) -> None:
    assert clock({"server_time_usec": int((1e9 + apart) * 1e6)}, 1e9, took).level == level


@pytest.mark.parametrize(("late", "level"), [(0, "ok"), (900_000, "ok"), (5_000_000, "warning"), (16_000_000, "error")])
def test_what_is_late_is_named(late: int, level: str) -> None:
    status = Status(1, 3, 2, 0, 0, [Reader("r", registry.CHANNEL, 1, 0)], ["s"], late)
    (found,) = [each for each in findings(status) if each.about == "lateness"]
    assert found.level == level
    assert ("2 entries are due" in found.says) == (level != "ok")


def test_a_worker_that_has_signed_off_is_none() -> None:
    status = Status(1, 0, 0, 0, 0, [Reader("r", registry.CHANNEL, 0, 3), Reader("c", "c", 5, 0)], ["s"])
    assert [each.level for each in findings(status) if each.about == "workers"] == ["error"]


def test_a_finding_forges_no_line_and_steers_no_terminal() -> None:
    found = Finding("a", "error", "one\n  ok  two\x1b[2J\x9b", "x" * 900)
    assert (found.says, len(found.remedy)) == ("one ok two [2J", 500)


def test_the_command_tells_each_in_one_line_and_fails_only_for_errors(site: RedisServer) -> None:
    with_store(site, alive)
    out = StringIO()
    call_command("doctor", stdout=out, no_color=True)
    assert re.search(r"^warning  settings security\.W008: ", out.getvalue(), re.MULTILINE)
    with_store(site, lambda store: store.beat("s", 0))
    out = StringIO()
    with pytest.raises(CommandError, match=r"^Errors: 1\.$"):
        call_command("doctor", stdout=out, no_color=True)
    (shown,) = re.findall(r"```text doctor\n(.*?)```", PAGE, re.DOTALL)
    assert set(shown.splitlines()) <= set(out.getvalue().splitlines())


def test_embedded_mode_is_looked_at_as_far_as_it_can_be_seen(settings: Any) -> None:
    found = look()
    assert found["schedule"].level == "warning"
    assert found["layer default"].level == found["deliveries"].level == "ok"
    settings.DEBUG = True
    assert look()["schedule"].level == "ok"
