"""Who may read the metrics, what says that it is ready, and the ports of processes that have no other."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.test import AsyncClient

from progrock.delay import MemoryStore, StoreAway
from progrock.metrics import Address, NoPort, Port, address_of, ready
from tests.conftest import until
from tests.e2e.server import ROOT, Command
from tests.metrics.exposition import Page, Series
from tests.redis import RedisServer

TOKEN = "sesame-sesame-sesame"
LOCAL = "127.0.0.1"


@pytest.fixture
def token(settings: Any) -> str:
    settings.PROGROCK = {**settings.PROGROCK, "METRICS_TOKEN": TOKEN}
    return TOKEN


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer ", "Bearer other", f"Basic {TOKEN}", "Bearer \xff", f"Bearer {TOKEN}x"]
)
async def test_who_has_no_token_reads_nothing(token: str, shown: str) -> None:
    refused = await AsyncClient().get("/metrics", headers={"Authorization": shown})
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"progrock_" not in refused.content


async def test_without_a_token_in_the_settings_none_is_right() -> None:
    for shown in ("Bearer ", "Bearer", "Bearer None"):
        assert (await AsyncClient().get("/metrics", headers={"Authorization": shown})).status_code == 401


async def test_who_has_the_token_reads(token: str) -> None:
    response = await AsyncClient().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert Page(response.content.decode()).samples[Series("progrock_store_up")] == 1
    assert (await AsyncClient().post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 405


@pytest.mark.parametrize(("staff", "active", "status"), [(True, True, 200), (False, True, 401), (True, False, 401)])
@pytest.mark.django_db(transaction=True)
async def test_staff_read_and_others_do_not(staff: bool, active: bool, status: int) -> None:
    user = await get_user_model().objects.acreate(username="ann", is_staff=staff, is_active=active)
    browser = AsyncClient()
    await browser.aforce_login(user)
    assert (await browser.get("/metrics")).status_code == status


@pytest.mark.django_db(transaction=True)
async def test_without_a_database_the_token_still_does(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(request: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr("django.contrib.auth.middleware.auser", fails)
    assert (await AsyncClient().get("/metrics")).status_code == 401
    assert (await AsyncClient().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_healthz_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "depth", hangs)
    response = await AsyncClient().get("/healthz")  # and no database: this test may use none
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db(transaction=True)
async def test_readyz_says_that_all_answers() -> None:
    response = await AsyncClient().get("/readyz")
    assert (response.status_code, response.content) == (200, b"ok\n")


async def away(self: object) -> int:
    raise StoreAway("at redis://user:password@host")


async def hangs(self: object) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize(
    ("depth", "says"),
    [(away, b"store: does not answer\n"), (hangs, b"store: does not answer within 1.5 s\n")],
    ids=["away", "hangs"],
)
@pytest.mark.django_db(transaction=True)
async def test_readyz_says_what_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, depth: Callable[[object], Awaitable[int]], says: bytes
) -> None:
    monkeypatch.setattr("progrock.metrics.readiness.LIMIT", 1.5)
    monkeypatch.setattr(MemoryStore, "depth", depth)
    response = await AsyncClient().get("/readyz")
    assert (response.status_code, response.content) == (503, says)


async def test_readyz_says_that_the_database_and_a_layer_are_away(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def refuse() -> None:
        raise OSError("away")

    monkeypatch.setattr("progrock.metrics.readiness._ask", refuse)
    monkeypatch.setattr("channels.layers.InMemoryChannelLayer.send", away)
    response = await AsyncClient().get("/readyz")
    assert response.status_code == 503
    assert set(response.content.decode().splitlines()) == {
        f"{each}: does not answer" for each in ("database", "layer default", "layer work")
    }


async def test_a_crowd_that_asks_shares_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def look() -> dict[str, str]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return {}

    monkeypatch.setattr("progrock.metrics.readiness._wrong", look)
    assert await asyncio.gather(*(ready() for _ in range(50))) == [{}] * 50
    await ready()
    assert looks == 1


@pytest.mark.parametrize("text", ["", "x", "-1", "65536", ":9100", "localhost:9100", "0.0.0.0:", "1.2.3.4:x", "٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected PORT or ADDRESS:PORT"):
        address_of(text)


def test_what_is_an_address_is_taken() -> None:
    assert address_of("9100") == Address(LOCAL, 9100)
    assert address_of("0.0.0.0:0") == Address("0.0.0.0", 0)
    assert address_of("[::1]:9100") == Address("::1", 9100)


def test_no_port_is_open_to_others_without_a_token() -> None:
    with pytest.raises(NoPort, match=r"expected PROGROCK\['METRICS_TOKEN'\] for a port on 0\.0\.0\.0, got none"):
        Port(Address("0.0.0.0", 0), schedule=True)


async def test_a_port_asks_for_the_token(token: str) -> None:
    async with Port(Address(LOCAL, 0), schedule=True) as port, aiohttp.ClientSession() as session:
        url = f"http://{LOCAL}:{port.number}"
        async with session.get(f"{url}/metrics") as refused:
            assert refused.status == 401
            assert "progrock_" not in await refused.text()
        async with session.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as given:
            assert given.status == 200
            assert Page(await given.text()).samples[Series("progrock_store_up")] == 1
        async with session.get(f"{url}/healthz") as healthy:
            assert (healthy.status, await healthy.text()) == (200, "ok\n")
        with pytest.raises(NoPort, match="cannot be opened"):
            async with Port(Address(LOCAL, port.number), schedule=True):
                pass


@pytest.fixture
def site(redis: RedisServer, tmp_path: Path) -> Iterator[dict[str, Command]]:
    environment = {**os.environ, "DEBUG": "1", "VAR_DIR": str(tmp_path), "REDIS_URL": redis.url}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    words = {"worker": ["runworker", "prog-rocker"], "delay": ["rundelay"]}
    made = {name: Command(["manage.py", *some, "--metrics", "0"], environment) for name, some in words.items()}
    try:
        for each in made.values():
            each.spawn()
        yield made
    finally:
        for each in made.values():
            each.kill()
            sys.stderr.write(each.log)
            each.close()


async def test_worker_and_scheduler_have_ports_of_their_own(site: dict[str, Command]) -> None:
    def urls() -> list[str]:
        return [url for each in site.values() for url in re.findall(r"at (http://\S+)/metrics", each.log)]

    await until(lambda: len(urls()) == 2)
    worker, delay = urls()
    async with aiohttp.ClientSession() as session:

        async def said(url: str) -> tuple[int, str]:
            async with session.get(url) as response:
                return response.status, await response.text()

        async def both_alive() -> bool:
            found = Page((await said(f"{delay}/metrics"))[1]).samples
            return found.get(Series("progrock_workers")) == found.get(Series("progrock_schedulers")) == 1

        await until(both_alive)
        assert await said(f"{worker}/readyz") == (200, "ok\n")
        status, text = await said(f"{worker}/metrics")
        assert status == 200
        assert "progrock_entries" not in Page(text).kinds  # the scheduler's to say
    assert [each.stop(signal.SIGTERM) for each in site.values()] == [0, 0]


def test_a_port_that_is_refused_ends_the_command(redis: RedisServer, tmp_path: Path) -> None:
    environment = {**os.environ, "DEBUG": "1", "VAR_DIR": str(tmp_path), "REDIS_URL": redis.url}
    words = [sys.executable, "manage.py", "rundelay", "--metrics", "0.0.0.0:0", "--settings", "config.settings"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected PROGROCK['METRICS_TOKEN'] for a port on 0.0.0.0, got none" in done.stderr
