"""Clients below the protocol, against a real daphne that asks for pongs every second.

Section F of the fault list, and who shows what:

| | |
|---|---|
| F01 | `test_a_frame_that_says_it_is_huge_is_refused`; test_socket.py: abuse closes |
| F02 | `test_fragments_without_end_are_cut_off` |
| F04 | `test_what_is_no_utf8_is_refused` |
| F05, F06, F07 | test_socket.py: bad input is answered, abuse closes, a megabyte of nesting |
| F08 | `test_a_flood_is_closed_within_a_second_and_others_do_not_notice` |
| | `test_a_flood_of_starts_costs_the_flooder_only`, `test_a_flood_of_bodies_costs_the_flooder_only` (G35, H08) |
| F09 | `make bench-fanout`, docs/explanation/fan-out.md |
| F10 | `test_too_many_sockets_of_one_owner_are_told_so`; consumers/test_receiver.py: an owner has so many |
| F11 | `test_handshakes_that_are_never_finished_keep_nobody_waiting` |
| F12 | `test_who_asks_and_never_reads_costs_a_few_megabytes`; consumers/test_receiver.py: who stops, who never says |
| F13 | `test_a_client_that_is_gone_without_a_word_is_noticed` |
| F14 | `test_a_storm_of_reconnects_is_answered` |
| F15, F20 | consumers/test_receiver.py: no update overtakes the answer; test_feed.py |
| F18 | consumers/test_receiver.py: too many watches |
| F19 | test_socket.py: the same key is the same job |
| F21 | test_updates.py: a group that was forgotten; the client asks again after silence |
| F22 | consumers/test_receiver.py: however a socket ends |
| F23 | `test_an_idle_socket_is_pinged` |
| F24 | tests/http |
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

import psutil
import pytest

from tests.e2e.conftest import Client, connect
from tests.e2e.raw import CONTINUATION, PING, TEXT, Raw, request
from tests.e2e.server import ServerProcess, session_of
from tests.redis import RedisServer
from tests.synth.process import SynthProcess

DAPHNE = ("-m", "daphne", "-v0", "-b127.0.0.1", "-p{port}", "--ping-interval=1", "--ping-timeout=8")
LONG = {"mode": "clock", "length": 300}
STARTS_MOST = 10


@pytest.fixture(scope="module")
def server(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("abuse")
    command = (*DAPHNE, "config.asgi:application")
    more = {"MAX_STARTS_PER_MINUTE": str(STARTS_MOST)}
    with (
        RedisServer() as redis,
        ServerProcess(synth.url, folder, command=command, redis=redis.url, more=more) as server,
    ):
        yield server


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    """Somebody else, who must not notice."""
    client = await connect(server)
    await client.hear()
    yield client
    assert (await client.ask({"action": "ping"}))["type"] == "pong"
    await client.connection.close()


R = TypeVar("R")


def memory(server: ServerProcess) -> int:
    """Return the bytes that the server has in memory."""
    return int(psutil.Process(server.pid).memory_info().rss)


async def test_a_frame_that_says_it_is_huge_is_refused(client: Client, server: ServerProcess) -> None:
    before = memory(server)
    with Raw(server) as abuser:
        abuser.send(b"x" * 1_000, length=2**40)
        await asyncio.to_thread(abuser.ended, 5)
    assert memory(server) - before < 5_000_000


async def test_fragments_without_end_are_cut_off(client: Client, server: ServerProcess) -> None:
    before = memory(server)

    def abuse() -> int:
        with Raw(server) as abuser:
            try:
                for n in range(100_000):
                    abuser.send(b"x" * 1_000, CONTINUATION if n else TEXT, last=False)
            except OSError:
                return n
        return n

    # A megabyte, and what was on its way.
    assert 1_000 < await asyncio.to_thread(abuse) < 20_000
    assert memory(server) - before < 20_000_000


async def test_what_is_no_utf8_is_refused(client: Client, server: ServerProcess) -> None:
    with Raw(server) as abuser:
        abuser.send(b'{"action": "\xff\xfe"}')
        # 1007, for which daphne drops the connection. Nothing is answered.
        assert await asyncio.to_thread(abuser.ended) in (None, 1007)
        assert abuser.kinds.count(TEXT) == 1


async def test_a_flood_is_closed_within_a_second_and_others_do_not_notice(
    client: Client, server: ServerProcess
) -> None:
    def abuse() -> tuple[int | None, float]:
        with Raw(server) as abuser:
            began = time.monotonic()
            with suppress(OSError):  # it may have been closed by then
                for _ in range(1_000):
                    abuser.send(b'{"action":"ping"}')
            return abuser.ended(), time.monotonic() - began

    (code, seconds), waits = await meanwhile(client, abuse)
    assert code == 4008
    # The close is answered by none but the server's own patience, which is a second; pongs are waited for for eight.
    assert seconds < 7
    unhurt(waits)


async def meanwhile(client: Client, abuse: Callable[[], R]) -> tuple[R, list[float]]:
    """Return what somebody's abuse comes to, and for how many seconds somebody else waited for each answer."""
    abusing = asyncio.create_task(asyncio.to_thread(abuse))
    waits: list[float] = []
    while not waits or not abusing.done():
        began = time.monotonic()
        await client.ask({"action": "ping"})
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    return await abusing, waits


def unhurt(waits: list[float]) -> None:
    """See that nobody else was held up. A busy machine holds up some answers, abuse would hold up all."""
    assert statistics.median(waits) < 1, waits
    assert max(waits) < 8, waits


async def test_a_flood_of_starts_costs_the_flooder_only(client: Client, server: ServerProcess) -> None:
    session = session_of(server)

    def abuse() -> Counter[str]:
        told: Counter[str] = Counter()
        # Two sockets have no more than one.
        with Raw(server, session=session) as one, Raw(server, session=session) as other:
            for n in range(180):
                for each in (one, other):
                    each.say({"action": "start", "params": LONG, "ref": f"r{n}"})
            for each in (one, other):
                answered = 0
                while answered < 180 and (frame := each.frame()):
                    answer = json.loads(frame[1]) if frame[0] == TEXT else {}
                    if "ref" in answer:
                        answered += 1
                        told[answer.get("code", answer["type"])] += 1
        return told

    told, waits = await meanwhile(client, abuse)
    assert told == {"accepted": STARTS_MOST, "too_many": 360 - STARTS_MOST}
    unhurt(waits)
    # Somebody else's starts are their own.
    mine = await client.ask({"action": "start", "params": LONG})
    assert mine["type"] == "accepted"
    await client.ask({"action": "cancel", "job": mine["job"]})
    flooder = await connect(server, additional_headers={"Cookie": session})
    for job in (await flooder.ask({"action": "list"}))["jobs"]:
        await flooder.ask({"action": "cancel", "job": job["job"]})
    await flooder.connection.close()


async def test_a_flood_of_bodies_costs_the_flooder_only(client: Client, server: ServerProcess) -> None:
    def abuse() -> set[int]:
        statuses = set()
        for size in (*[70_000] * 100, *[5_000_000] * 5):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            kind = {"Content-Type": "application/json", "Authorization": "Bearer x"}
            connection.request("POST", "/prog/tracked/", b" " * size, kind)
            statuses.add(connection.getresponse().status)
            connection.close()
        return statuses

    before = memory(server)
    statuses, waits = await meanwhile(client, abuse)
    assert statuses <= {401, 413}
    unhurt(waits)
    # daphne takes each of them whole before it asks us, and keeps none.
    assert memory(server) - before < 20_000_000


async def test_too_many_sockets_of_one_owner_are_told_so(client: Client, server: ServerProcess) -> None:
    session = session_of(server)
    with ExitStack() as stack:
        there: list[Raw] = []
        for n in range(100):
            there.append(await asyncio.to_thread(lambda: stack.enter_context(Raw(server, session=session))))
            if n % 20 == 19:
                for each in there:  # whoever says something is there, and is not expected to answer pings
                    each.say({"action": "ping"})
        one_more = stack.enter_context(Raw(server, session=session))
        assert await asyncio.to_thread(one_more.ended) == 4429


async def test_handshakes_that_are_never_finished_keep_nobody_waiting(client: Client, server: ServerProcess) -> None:
    half = request(server)[:-2]
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        for _ in range(200):
            connection = await asyncio.to_thread(lambda: stack.enter_context(socket.create_connection(address, 5)))
            connection.sendall(half)
        began = time.monotonic()
        other = await connect(server)
        assert (await other.hear())["type"] == "hello"
        assert time.monotonic() - began < 4.5  # those that are never finished are given up after 5
        await other.connection.close()


async def test_who_asks_and_never_reads_costs_a_few_megabytes(client: Client, server: ServerProcess) -> None:
    session = session_of(server)
    owner = await connect(server, additional_headers={"Cookie": session})
    starts = [{"action": "start", "params": LONG, "key": f"k{n}"} for n in range(5)]
    jobs = [(await owner.ask(start))["job"] for start in starts]
    await owner.connection.close()

    def abuse() -> tuple[int, int]:
        most = asked = 0
        # Whoever says something is there, and is not expected to answer pings.
        with Raw(server, session=session, buffer=4_096) as abuser, suppress(OSError):
            for _ in range(1_200):
                for _ in range(5):
                    abuser.say({"action": "list"})
                    asked += 1
                time.sleep(0.05)
                most = max(most, memory(server))
        return most, asked

    before = memory(server)
    most, asked = await asyncio.to_thread(abuse)
    assert 1_000 < asked < 6_000
    assert most - before < 20_000_000
    owner = await connect(server, additional_headers={"Cookie": session})
    for job in jobs:
        await owner.ask({"action": "cancel", "job": job})
    await owner.connection.close()


async def test_a_client_that_is_gone_without_a_word_is_noticed(client: Client, server: ServerProcess) -> None:
    # It reads, and the server sends: neither is an answer to a ping.
    with Raw(server) as gone:
        gone.say({"action": "start", "params": LONG})
        assert await asyncio.to_thread(gone.ended, 30) is None
        assert TEXT in gone.kinds[gone.kinds.index(PING) :]


async def test_a_client_that_is_gone_and_does_not_read_is_noticed(client: Client, server: ServerProcess) -> None:
    def clients() -> int:
        there = psutil.Process(server.pid).net_connections()
        return sum(bool(each.raddr) and each.laddr.port == server.port for each in there)

    before = clients()
    with Raw(server, buffer=4_096) as gone:
        gone.say({"action": "start", "params": LONG})
        end = time.monotonic() + 30
        while clients() > before:
            assert time.monotonic() < end, "expected the server to give the connection up"
            await asyncio.sleep(0.2)


async def test_a_storm_of_reconnects_is_answered(client: Client, server: ServerProcess) -> None:
    session = session_of(server)
    owner = await connect(server, additional_headers={"Cookie": session})
    job = (await owner.ask({"action": "start", "params": LONG}))["job"]

    def come(_: int) -> bool:
        for _ in range(20):
            try:
                return ask()
            except ConnectionRefusedError:  # too many sign in: it comes again, as clients do
                time.sleep(0.5)
        return False

    def ask() -> bool:
        with Raw(server, session=session) as one:
            one.say({"action": "watch", "job": job, "ref": "r"})
            for _ in range(20):
                frame = one.frame()
                if frame and b'"ref":"r"' in frame[1]:
                    return job.encode() in frame[1]
        return False  # and gone, without a word

    with ThreadPoolExecutor(40) as pool:
        began = time.monotonic()
        answered = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(pool, come, n) for n in range(300))
        )
    assert all(answered)
    assert time.monotonic() - began < 60
    await owner.ask({"action": "cancel", "job": job})
    await owner.connection.close()


async def test_an_idle_socket_is_pinged(client: Client, server: ServerProcess) -> None:
    with Raw(server) as idle:
        frames = [await asyncio.to_thread(idle.frame) for _ in range(2)]
    assert [frame and frame[0] for frame in frames] == [TEXT, PING]
