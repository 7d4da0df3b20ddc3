"""Checks every rule of the HTTP API against a real process."""

from __future__ import annotations

import asyncio
import io
import itertools
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from synth import studio as studio_module
from synth.app import make_app
from synth.music import RATE
from synth.tape import Tape
from tests.synth.process import Reply, SynthProcess

Until = Callable[[Callable[[], Any]], Any]
FIELDS = [
    "id", "state", "done", "total", "message", "log", "title", "meter", "tempo", "seed", "length", "error", "file",
]  # fmt: skip
FAST = {"length": 0.5, "pace": 100, "seed": 7}
_keys = itertools.count()


def key() -> dict[str, str]:
    return {"Idempotency-Key": f"key-{next(_keys)}"}


def start(synth: SynthProcess, **order: object) -> dict[str, Any]:
    reply = synth.call("POST", "/v1/renders", order)
    assert reply.status == 201, reply.body
    return dict(reply.json)


def look(synth: SynthProcess, render: dict[str, Any]) -> dict[str, Any]:
    return dict(synth.call("GET", f"/v1/renders/{render['id']}").json)


def finish(synth: SynthProcess, until: Until, **order: object) -> dict[str, Any]:
    render = start(synth, **order)
    until(lambda: look(synth, render)["state"] not in ("queued", "running"))
    return look(synth, render)


def refused(reply: Reply, status: int, code: str, *words: str) -> None:
    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.headers["content-type"] == "application/json"
    message = reply.json["error"]["message"]
    assert "expected" in message
    assert "got" in message
    for word in words:
        assert word in message


def test_a_start_answers_with_the_render(synth: SynthProcess) -> None:
    order = {"meter": "13/8", "tempo": 99.5, "seed": 5, "length": 2, "pace": 0.1, "mode": "clock"}
    reply = synth.call("POST", "/v1/renders", order)
    assert reply.status == 201
    render = reply.json
    assert list(render) == FIELDS
    assert reply.headers["location"] == f"/v1/renders/{render['id']}"
    assert (render["meter"], render["tempo"], render["seed"], render["length"]) == ("13/8", 99.5, 5, 2)
    assert render["total"] == 2 * RATE
    assert (render["error"], render["file"]) == (None, None)


def test_every_field_of_a_start_is_optional(synth: SynthProcess) -> None:
    one, two = (synth.call("POST", "/v1/renders", body) for body in (None, {"seed": None}))
    assert one.status == two.status == 201
    assert one.json["length"] == 20
    assert one.json["seed"] != two.json["seed"]
    for reply in (one, two):
        synth.call("DELETE", reply.headers["location"])


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"meter": "4/4"}, "meter"),
        ({"tempo": 59}, "tempo"),
        ({"tempo": "120"}, "tempo"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": True}, "seed"),
        ({"length": 0.4}, "length"),
        ({"length": 601}, "length"),
        ({"pace": 0}, "pace"),
        ({"pace": 101}, "pace"),
        ({"mode": "nap"}, "mode"),
        ([], "body"),
        ("x", "body"),
    ],
)
def test_a_wrong_value_is_named(synth: SynthProcess, body: object, name: str) -> None:
    refused(synth.call("POST", "/v1/renders", body), 400, "bad-value", name)


def test_an_unknown_field_is_named(synth: SynthProcess) -> None:
    refused(synth.call("POST", "/v1/renders", {"temp": 120}), 400, "unknown-key", "temp", "tempo")


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"tempo": NaN}', b'{"tempo": 1e999}', b"[" * 100_000, b"9" * 9_000])
def test_what_is_not_json_is_refused(synth: SynthProcess, body: bytes) -> None:
    refused(synth.call("POST", "/v1/renders", body), 400, "bad-json", "JSON")


def test_a_long_body_is_refused(synth: SynthProcess) -> None:
    refused(synth.call("POST", "/v1/renders", b" " * 300_000), 413, "too-large")


def test_a_track_is_recorded_in_real_time_and_served(synth: SynthProcess, until: Until) -> None:
    render = start(synth, length=1.5, seed=42)
    done = [0]

    def over() -> bool:
        now = look(synth, render)
        assert now["total"] == round(1.5 * RATE)
        if now["done"] != done[-1]:
            done.append(now["done"])
        return bool(now["state"] == "succeeded")

    early = synth.call("GET", f"/v1/renders/{render['id']}/file")
    refused(early, 409, "not-finished")
    began = time.monotonic()
    until(over)
    assert 1.2 < time.monotonic() - began < 10
    assert done == sorted(done)
    assert len(done) > 3
    final = look(synth, render)
    assert final["file"] == {
        "href": f"/v1/renders/{render['id']}/file",
        "type": "audio/wav",
        "bytes": 44 + 2 * final["total"],
    }
    reply = synth.call("GET", final["file"]["href"])
    assert reply.headers["content-type"] == "audio/wav"
    assert len(reply.body) == final["file"]["bytes"]
    with wave.open(io.BytesIO(reply.body)) as file:
        assert (file.getnframes(), file.getframerate()) == (final["total"], RATE)


def test_the_file_answers_range_and_etag(synth: SynthProcess, until: Until) -> None:
    href = finish(synth, until, **FAST)["file"]["href"]
    whole = synth.call("GET", href)
    part = synth.call("GET", href, headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, whole.body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.body)}"
    assert part.headers["content-type"] == "audio/wav"
    assert synth.call("GET", href, headers={"Range": "bytes=-10"}).body == whole.body[-10:]
    assert synth.call("GET", href, headers={"Range": "bytes=999999-"}).status == 416
    assert synth.call("GET", href, headers={"If-None-Match": whole.headers["etag"]}).status == 304
    assert synth.call("HEAD", href).headers["content-length"] == str(len(whole.body))


def test_the_same_order_gives_the_same_file(synth: SynthProcess, until: Until) -> None:
    files = [synth.call("GET", finish(synth, until, **FAST)["file"]["href"]).body for _ in range(2)]
    other = synth.call("GET", finish(synth, until, **{**FAST, "seed": 8})["file"]["href"]).body
    assert files[0] == files[1] != other


def test_a_key_starts_one_render(synth: SynthProcess) -> None:
    header, order = key(), {"mode": "clock", "seed": 1}
    before = synth.call("GET", "/v1/stats").json
    first = synth.call("POST", "/v1/renders", order, header)
    again = synth.call("POST", "/v1/renders", {**order, "pace": 1.0}, header)
    after = synth.call("GET", "/v1/stats").json
    assert (first.status, again.status) == (201, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json["id"] == first.json["id"]
    assert again.headers["location"] == first.headers["location"]
    assert (after["starts"] - before["starts"], after["replays"] - before["replays"]) == (1, 1)
    other = synth.call("POST", "/v1/renders", {"mode": "clock", "seed": 2}, header)
    refused(other, 422, "key-reused")


def test_a_key_may_be_1_to_255_characters(synth: SynthProcess) -> None:
    order = {"mode": "clock"}
    for good in ("!", "x" * 255):
        assert synth.call("POST", "/v1/renders", order, {"Idempotency-Key": good}).status == 201
    for bad in ("", "x" * 256, "h\xe9"):
        reply = synth.call("POST", "/v1/renders", order, {"Idempotency-Key": bad})
        refused(reply, 400, "bad-value", "Idempotency-Key")


def test_a_render_is_found_by_its_key(synth: SynthProcess) -> None:
    header = key()
    name = header["Idempotency-Key"]
    assert synth.call("GET", f"/v1/renders?key={name}").json == {"renders": []}
    render = synth.call("POST", "/v1/renders", {"mode": "clock"}, header).json
    found = synth.call("GET", f"/v1/renders?key={name}").json["renders"]
    assert [each["id"] for each in found] == [render["id"]]
    for query in ("", "?id=1", "?key=a&page=2"):
        refused(synth.call("GET", f"/v1/renders{query}"), 400, "bad-query")


def test_many_are_looked_up_at_once_in_the_order_asked(synth: SynthProcess) -> None:
    ids = [start(synth, mode="clock")["id"] for _ in range(3)]
    asked = [ids[2], "nobody", ids[0], ids[1], ids[0]]
    answer = synth.call("POST", "/v1/renders/status", {"ids": asked}).json
    assert [each["id"] for each in answer["renders"]] == [ids[2], ids[0], ids[1], ids[0]]
    assert answer["unknown"] == ["nobody"]
    assert list(answer["renders"][0]) == FIELDS
    assert synth.call("POST", "/v1/renders/status", {"ids": ["x"] * 1_000}).status == 200
    for bad in ({"ids": ["x"] * 1_001}, {"ids": [1]}, {"ids": "x"}, {}):
        refused(synth.call("POST", "/v1/renders/status", bad), 400, "bad-value", "ids")


def test_unknown_things_are_not_found(synth: SynthProcess) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/file")):
        refused(synth.call(method, f"/v1/renders/nobody{path}"), 404, "unknown-render", "nobody")
    refused(synth.call("GET", "/v2"), 404, "unknown-path")
    reply = synth.call("PATCH", "/v1/renders/nobody")
    refused(reply, 405, "wrong-method", "PATCH")
    assert reply.headers["allow"] == "DELETE, GET, HEAD"


def test_cancelling_stops_and_clears_up_and_may_be_repeated(synth: SynthProcess, until: Until) -> None:
    render = start(synth, length=20)
    until(lambda: look(synth, render)["done"] > 0)
    assert synth.home is not None
    assert list(synth.home.glob(f"{render['id']}*"))
    for _ in range(2):
        reply = synth.call("DELETE", f"/v1/renders/{render['id']}")
        assert (reply.status, reply.json["state"], reply.json["file"]) == (200, "cancelled", None)
    home = synth.home
    until(lambda: not list(home.glob(f"{render['id']}*")))
    refused(synth.call("GET", f"/v1/renders/{render['id']}/file"), 404, "no-file", "cancelled")
    assert look(synth, render)["done"] == reply.json["done"] > 0


def test_cancelling_what_has_ended_changes_nothing(synth: SynthProcess, until: Until) -> None:
    render = finish(synth, until, **FAST)
    assert synth.call("DELETE", f"/v1/renders/{render['id']}").json == render
    assert synth.call("GET", render["file"]["href"]).status == 200


def test_clock_mode_moves_by_the_clock_without_a_file(synth: SynthProcess, until: Until) -> None:
    render = start(synth, mode="clock", length=3, pace=1)
    assert render["state"] == "running"
    done = []

    def over() -> bool:
        now = look(synth, render)
        done.append(now["done"])
        return bool(now["state"] == "succeeded")

    until(over)
    assert done == sorted(done)
    assert done[-1] == render["total"]
    assert len(set(done)) > 5
    final = look(synth, render)
    assert final["file"] is None
    refused(synth.call("GET", f"/v1/renders/{render['id']}/file"), 404, "no-file", "succeeded")
    other = start(synth, mode="clock", length=600)
    assert synth.call("DELETE", f"/v1/renders/{other['id']}").json["state"] == "cancelled"
    assert look(synth, other)["state"] == "cancelled"


def test_stats_count(synth: SynthProcess) -> None:
    before = synth.call("GET", "/v1/stats").json
    render = start(synth, mode="clock", length=600)
    look(synth, render)
    synth.call("POST", "/v1/renders/status", {"ids": []})
    now = synth.call("GET", "/v1/stats").json
    assert now["starts"] == before["starts"] + 1
    assert now["live"] >= 1
    for route in ("start", "status", "batch", "stats"):
        assert now["requests"][route] == before["requests"].get(route, 0) + 1
    assert set(now) == {"starts", "replays", "known", "live", "queued", "files", "requests", "trouble"}


def test_healthz(synth: SynthProcess) -> None:
    assert synth.call("GET", "/healthz").status == 200


async def test_two_apps_live_in_one_process(tmp_path: Path) -> None:
    clients = [TestClient(TestServer(make_app(tmp_path / name))) for name in "ab"]
    try:
        for client in clients:
            await client.start_server()
        made = await (await clients[0].post("/v1/renders", json={"mode": "clock"})).json()
        assert (await clients[0].get(f"/v1/renders/{made['id']}")).status == 200
        assert (await clients[1].get(f"/v1/renders/{made['id']}")).status == 404
    finally:
        for client in clients:
            await client.close()


async def test_old_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_module, "FILES_KEPT", 2)
    async with TestClient(TestServer(make_app(tmp_path))) as client:
        ids = []
        for seed in range(3):
            made = await (await client.post("/v1/renders", json={**FAST, "seed": seed})).json()
            ids.append(made["id"])
            await _poll(client, f"/v1/renders/{made['id']}", lambda render: render["state"] == "succeeded")
        oldest = f"/v1/renders/{ids[0]}"
        await _poll(client, oldest, lambda render: render["file"] is None)
        assert (await client.get(f"{oldest}/file")).status == 404
        assert (await client.get(f"/v1/renders/{ids[1]}/file")).status == 200
    assert sorted(path.stem for path in tmp_path.glob("*.wav")) == sorted(ids[1:])


async def test_one_more_than_there_are_machines_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_module, "MACHINES", 1)
    async with TestClient(TestServer(make_app(tmp_path))) as client:
        made = [await (await client.post("/v1/renders", json={"length": 60})).json() for _ in range(2)]
        first, second = (f"/v1/renders/{each['id']}" for each in made)
        await _poll(client, first, lambda render: render["done"] > 0)
        assert (await (await client.get(second)).json())["state"] == "queued"
        assert (await (await client.get("/v1/stats")).json())["queued"] == 1
        await client.delete(first)
        await _poll(client, second, lambda render: render["done"] > 0)


async def test_a_disk_that_refuses_fails_the_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no room left")

    monkeypatch.setattr(Tape, "roll", refuse)
    async with TestClient(TestServer(make_app(tmp_path))) as client:
        made = await (await client.post("/v1/renders", json=FAST)).json()
        render = await _poll(client, f"/v1/renders/{made['id']}", lambda each: each["state"] == "failed")
        assert render["error"]["code"] == "tape-snapped"
        assert "no room left" in render["error"]["message"]
        assert not list(tmp_path.glob("*.part"))


async def _poll(client: TestClient[Any, Any], path: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            async with client.get(path) as reply:
                render: dict[str, Any] = await reply.json()
            if wanted(render):
                return render
            await asyncio.sleep(0.01)


async def test_a_thousand_starts_with_one_key_start_one(synth: SynthProcess) -> None:
    header = key()
    before = synth.call("GET", "/v1/stats").json["starts"]
    async with aiohttp.ClientSession(synth.url) as session:

        async def once() -> str:
            async with session.post("/v1/renders", json={"mode": "clock"}, headers=header) as reply:
                return str((await reply.json())["id"])

        ids = await asyncio.gather(*(once() for _ in range(200)))
    assert len(set(ids)) == 1
    assert synth.call("GET", "/v1/stats").json["starts"] == before + 1
