"""The websocket of a real server: what 2017's client sees, and what hostile ones get."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
import websockets

from tests.e2e.conftest import Client, both, connect
from tests.e2e.server import ServerProcess, session_of
from tests.synth.process import SynthProcess

QUICK = {"mode": "clock", "length": 0.6}
LONG = {"mode": "clock", "length": 60}


async def test_the_trace_of_2017(server: ServerProcess) -> None:
    client = await connect(server)
    assert (await client.hear())["accept"] is True
    await client.say('{"action": "start"}')
    frames = [await client.hear()]
    # Another click while it runs is the same job.
    await client.say('{"action": "start"}')
    await client.say({"action": "cancel", "job": frames[0]["job"]})
    frames += await client.hear_until(lambda frame: frame["complete"])
    assert {frame["job"] for frame in frames} == {frames[0]["job"]}
    progress = [frame["progress"] for frame in frames]
    assert progress[0] == 0
    assert progress == sorted(progress)
    assert all(type(value) is int for value in progress)
    # And after it is over, it is another one.
    await client.say('{"action": "start"}')
    again = await client.hear()
    assert again["job"] != frames[0]["job"]
    await client.say({"action": "cancel", "job": again["job"]})
    await client.connection.close()


@both
async def test_a_start_is_followed_to_its_end(client: Client) -> None:
    accepted = await client.ask({"action": "start", "params": QUICK})
    assert (accepted["type"], accepted["complete"], accepted["progress"]) == ("accepted", False, 0)
    frames = await client.hear_until(lambda frame: frame["complete"])
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(set(seqs))
    assert (frames[-1]["state"], frames[-1]["progress"]) == ("succeeded", 100)
    assert len({frame["progress"] for frame in frames}) >= 3


@both
async def test_one_socket_carries_many_jobs(client: Client) -> None:
    jobs = {(await client.ask({"action": "start", "params": QUICK, "key": f"k{n}"}))["job"] for n in range(4)}
    assert len(jobs) == 4
    done: set[str] = set()

    def all_done(frame: dict[str, Any]) -> bool:
        if frame.get("complete"):
            done.add(frame["job"])
        return done == jobs

    await client.hear_until(all_done)


async def test_the_same_key_is_the_same_job(client: Client) -> None:
    start = {"action": "start", "params": QUICK, "key": "double click"}
    assert (await client.ask(start))["job"] == (await client.ask(start))["job"]


@both
async def test_watch_unwatch_cancel_and_list(client: Client) -> None:
    started = await client.ask({"action": "start", "params": LONG})
    listed = await client.ask({"action": "list"})
    assert [job["job"] for job in listed["jobs"]] == [started["job"]]
    watched = await client.ask({"action": "watch", "job": started["job"]})
    assert (watched["type"], watched["job"]) == ("snapshot", started["job"])
    cancelling = await client.ask({"action": "cancel", "job": started["job"]})
    assert cancelling["state"] in ("cancelling", "cancelled")
    (*_, ended) = await client.hear_until(lambda frame: frame.get("complete", False))
    assert ended["state"] == "cancelled"
    assert (await client.ask({"action": "cancel", "job": started["job"]}))["state"] == "cancelled"
    assert (await client.ask({"action": "ping"}))["type"] == "pong"


@both
async def test_a_socket_that_lists_hears_of_jobs_started_elsewhere(server: ServerProcess) -> None:
    session = session_of(server)
    one, other = [await connect(server, additional_headers={"Cookie": session}) for _ in range(2)]
    await other.ask({"action": "list"})
    started = await one.ask({"action": "start", "params": QUICK})
    frames = await other.hear_until(lambda frame: frame.get("complete", False))
    assert {frame["job"] for frame in frames} == {started["job"]}
    for client in (one, other):
        await client.connection.close()


@both
async def test_what_is_not_mine_is_not_there(client: Client, server: ServerProcess) -> None:
    started = await client.ask({"action": "start", "params": LONG})
    stranger = await connect(server)
    for action in ("watch", "cancel"):
        for job in (started["job"], str(uuid.uuid4())):
            answer = await stranger.ask({"action": action, "job": job})
            assert (answer["type"], answer["code"]) == ("error", "not_found")
    await stranger.say({"action": "unwatch", "job": started["job"]})
    assert (await stranger.ask({"action": "list"}))["jobs"] == []
    assert (await client.ask({"action": "watch", "job": started["job"]}))["state"] == "running"
    await client.ask({"action": "cancel", "job": started["job"]})
    await stranger.connection.close()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "bad_frame"),
        ("[1, 2]", "bad_frame"),
        ("[" * 60_000, "bad_frame"),
        (b"binary", "bad_frame"),
        ({"action": "dance"}, "unknown_action"),
        ({"no": "action"}, "unknown_action"),
        ({"action": "start", "params": "x"}, "invalid"),
        ({"action": "watch", "job": "../../etc/passwd"}, "invalid"),
        ({"action": "start", "service": "sinth"}, "unknown_service"),
        ({"action": "start", "params": {"tempo": "fast"}}, "invalid_params"),
        ({"action": "start", "params": {"wrong": 1}}, "invalid_params"),
        ({"action": "start", "params": {"length": 1e300}}, "invalid_params"),
    ],
)
async def test_bad_input_is_answered_and_the_socket_lives(client: Client, frame: object, code: str) -> None:
    await client.say(frame)
    answer = await client.hear()
    assert (answer["type"], answer["code"]) == ("error", code)
    assert any(word in answer["message"] for word in ("xpected", "params:", "Invalid"))
    assert "Traceback" not in answer["message"]
    assert (await client.ask({"action": "ping"}))["type"] == "pong"


@pytest.mark.parametrize(
    ("frame", "times", "code"),
    [("not json", 3, 4008), (b"binary", 3, 4003), ('{"action": "ping"}', 2_000, 4008), ("x" * 70_000, 1, 4009)],
)
async def test_abuse_closes_the_abusers_socket_and_no_other(
    client: Client, server: ServerProcess, frame: str | bytes, times: int, code: int
) -> None:
    abuser = await connect(server)
    try:
        for _ in range(times):
            await abuser.say(frame)
            await asyncio.sleep(
                0
            )  # what comes is read, too: a close that came first may be lost when the end is broken
    except websockets.ConnectionClosed:
        pass
    assert await abuser.closed() == code
    assert (await client.ask({"action": "ping"}))["type"] == "pong"


async def test_a_megabyte_of_nesting_harms_nobody(client: Client, server: ServerProcess) -> None:
    abuser = await connect(server)
    await abuser.say('{"action": "start", "params": ' + '{"a":' * 200_000)
    assert await abuser.closed() in (4009, 1009, 1006)
    assert (await client.ask({"action": "ping"}))["type"] == "pong"


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1.evil.example"])
async def test_other_sites_are_turned_away(server: ServerProcess, origin: str | None) -> None:
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await connect(server, origin=origin)
    assert refusal.value.response.status_code == 403


async def test_a_remote_in_trouble_is_said_and_survived(client: Client, untroubled: SynthProcess) -> None:
    untroubled.trouble({"kind": "status", "status": 503, "on": ["status"]})
    await client.ask({"action": "start", "params": {"mode": "clock", "length": 2}})
    await client.hear_until(lambda frame: frame["misses"] > 0 and "503" in frame["message"])
    untroubled.trouble()
    frames = await client.hear_until(lambda frame: frame["complete"])
    assert frames[-1]["state"] == "succeeded"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ({"kind": "garbage", "body": "html"}, "nonsense"),
        ({"kind": "garbage", "body": "deep"}, "nonsense"),
        ({"kind": "garbage", "body": "huge"}, "nonsense"),
        ({"kind": "forget"}, "vanished"),
    ],
)
async def test_a_remote_that_lies_fails_the_job_with_a_reason(
    client: Client, untroubled: SynthProcess, trouble: dict[str, Any], code: str
) -> None:
    await client.ask({"action": "start", "params": LONG})
    await client.hear_until(lambda frame: frame["state"] == "running" and frame["heard"])
    untroubled.trouble({"on": ["status"], **trouble})
    frames = await client.hear_until(lambda frame: frame["complete"])
    assert (frames[-1]["state"], frames[-1]["error"]["code"]) == ("failed", code)
    assert frames[-1]["message"].endswith(".") or ")" in frames[-1]["message"]


async def test_a_remote_that_counts_backwards_never_shows(client: Client, untroubled: SynthProcess) -> None:
    untroubled.trouble({"kind": "backwards", "on": ["status"]})
    await client.ask({"action": "start", "params": {"mode": "clock", "length": 1.5}})
    frames = await client.hear_until(lambda frame: frame["complete"])
    progress = [frame["progress"] for frame in frames]
    assert progress == sorted(progress)
    assert frames[-1]["state"] == "succeeded"


async def test_a_start_whose_reply_is_lost_starts_once(client: Client, untroubled: SynthProcess) -> None:
    before = untroubled.call("GET", "/v1/stats").json["starts"]
    untroubled.trouble({"kind": "lost-reply", "on": ["start"], "times": 2})
    await client.ask({"action": "start", "params": QUICK})
    frames = await client.hear_until(lambda frame: frame["complete"])
    assert frames[-1]["state"] == "succeeded"
    assert untroubled.call("GET", "/v1/stats").json["starts"] == before + 1


async def test_clicks_are_answered_while_another_job_hangs(client: Client, untroubled: SynthProcess) -> None:
    await client.ask({"action": "start", "params": LONG})
    untroubled.trouble({"kind": "hang", "on": ["status"], "times": 1})
    await asyncio.sleep(0.3)
    began = time.monotonic()
    assert (await client.ask({"action": "start", "params": QUICK}))["type"] == "accepted"
    assert time.monotonic() - began < 1
