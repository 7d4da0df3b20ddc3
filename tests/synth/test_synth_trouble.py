"""Checks that every kind of trouble does what it says, to whom it says, as often as it says."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.synth.process import SynthProcess

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def path(synth: SynthProcess) -> str:
    """The path of a long clock-mode render."""
    return synth.call("POST", "/v1/renders", {"mode": "clock", "length": 600}).headers["location"]


def raw(synth: SynthProcess, method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """Send a request by hand and read until the end; a reset is an OSError."""
    with socket.create_connection(("127.0.0.1", synth.port), timeout=10) as line:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        line.sendall(head.encode() + body)
        got = b""
        while piece := line.recv(65_536):
            got += piece
        return got


@pytest.mark.parametrize(
    ("switch", "code", "word"),
    [
        ({"kind": "gremlin"}, "unknown-kind", "gremlin"),
        ({}, "unknown-kind", "null"),
        ({"kind": "hang", "ms": 5}, "unknown-key", "ms"),
        ({"kind": "latency"}, "missing-key", "ms"),
        ({"kind": "latency", "ms": -1}, "bad-value", "ms"),
        ({"kind": "latency", "ms": "5"}, "bad-value", "ms"),
        ({"kind": "status", "status": 99}, "bad-value", "status"),
        ({"kind": "status", "status": 429, "retry_after": "a\r\nb"}, "bad-value", "retry_after"),
        ({"kind": "garbage", "body": 5}, "bad-value", "body"),
        ({"kind": "percent"}, "missing-key", "done or total"),
        ({"kind": "state", "state": 5}, "bad-value", "state"),
        ({"kind": "forget", "ids": [5]}, "bad-value", "ids"),
        ({"kind": "redirect"}, "missing-key", "to"),
        ({"kind": "redirect", "to": "/x", "status": 200}, "bad-value", "status"),
        ({"kind": "stranger"}, "missing-key", "id"),
        ({"kind": "hang", "on": ["stats"]}, "bad-value", "stats"),
        ({"kind": "hang", "on": []}, "bad-value", "on"),
        ({"kind": "hang", "times": 0}, "bad-value", "times"),
        ({"kind": "hang", "chance": 2}, "bad-value", "chance"),
        ("hang", "bad-value", "trouble"),
    ],
)
def test_a_wrong_switch_is_refused_by_name(synth: SynthProcess, switch: object, code: str, word: str) -> None:
    synth.trouble({"kind": "state", "state": "kept"})
    for body in (switch, [{"kind": "reset"}, switch]):
        reply = synth.call("PUT", "/v1/trouble", body)
        assert (reply.status, reply.code) == (400, code), reply.body
        assert word in reply.json["error"]["message"]
    assert [each["kind"] for each in synth.call("GET", "/v1/trouble").json["trouble"]] == ["state"]


def test_switches_are_shown_counted_and_deleted(synth: SynthProcess, path: str) -> None:
    reply = synth.call("PUT", "/v1/trouble", {"kind": "state", "state": "odd", "times": 2})
    assert reply.json == synth.call("GET", "/v1/trouble").json
    assert [synth.call("GET", path).json["state"] for _ in range(3)] == ["odd", "odd", "running"]
    (shown,) = synth.call("GET", "/v1/trouble").json["trouble"]
    assert (shown["times"], shown["hits"]) == (0, 2)
    assert shown["on"] == ["start", "status", "cancel", "file"]
    assert synth.call("DELETE", "/v1/trouble").json == {"trouble": []}
    assert synth.call("GET", path).json["state"] == "running"


def test_only_the_named_routes_are_hit(synth: SynthProcess, path: str) -> None:
    for on, method, target in (
        ("start", "POST", "/v1/renders"),
        ("status", "GET", path),
        ("status", "GET", "/v1/renders?key=x"),
        ("status", "POST", "/v1/renders/status"),
        ("file", "GET", f"{path}/file"),
        ("cancel", "DELETE", path),
    ):
        body: dict[str, Any] | None = (
            {"ids": []} if target.endswith("/status") else {"mode": "clock"} if method == "POST" else None
        )
        others = [each for each in ("start", "status", "cancel", "file") if each != on]
        synth.trouble({"kind": "status", "status": 418, "on": others})
        assert synth.call(method, target, body).status != 418
        synth.trouble({"kind": "status", "status": 418, "on": [on]})
        assert synth.call(method, target, body).status == 418
    synth.trouble({"kind": "status", "status": 418})
    assert {synth.call("GET", each).status for each in ("/v1/stats", "/v1/trouble", "/healthz")} == {200}


def test_chance_hits_some(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "status", "status": 500, "chance": 0.5})
    found = {synth.call("GET", path).status for _ in range(60)}
    assert found == {200, 500}
    synth.trouble({"kind": "status", "status": 500, "chance": 0})
    assert {synth.call("GET", path).status for _ in range(20)} == {200}


def test_a_list_of_one_kind_is_a_sequence(synth: SynthProcess, path: str) -> None:
    synth.trouble(*({"kind": "status", "status": status, "times": 1} for status in (503, 429, 401)))
    assert [synth.call("GET", path).status for _ in range(4)] == [503, 429, 401, 200]


def test_latency(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "latency", "ms": 150})
    began = time.monotonic()
    assert synth.call("GET", path).status == 200
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize("retry_after", [None, 3, 0.5, "soon", "Fri, 31 Dec 1999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_status_does_no_work(synth: SynthProcess, status: int, retry_after: float | str | None) -> None:
    more = {} if retry_after is None else {"retry_after": retry_after}
    synth.trouble({"kind": "status", "status": status, **more})
    before = synth.call("GET", "/v1/stats").json["starts"]
    reply = synth.call("POST", "/v1/renders", {"mode": "clock"})
    assert (reply.status, reply.code) == (status, "trouble")
    assert reply.headers.get("retry-after") == (None if retry_after is None else str(retry_after))
    assert synth.call("GET", "/v1/stats").json["starts"] == before


@pytest.mark.parametrize("body", ["html", "truncated", "deep", "huge", "empty", "nan", "Segmentation fault"])
def test_garbage(synth: SynthProcess, path: str, body: str) -> None:
    synth.trouble({"kind": "garbage", "body": body})
    reply = synth.call("GET", path)
    assert reply.status == 200
    if body == "html":
        assert reply.headers["content-type"].startswith("text/html")
        assert b"<h1>" in reply.body
    elif body == "truncated":
        assert reply.body.startswith(b'{"id"')
    elif body == "deep":
        assert reply.body == b"[" * 100_000 + b"]" * 100_000
        return
    elif body == "huge":
        assert len(reply.body) > 10_000_000
        assert reply.json["state"] == "running"
        return
    elif body == "nan":
        assert reply.json["done"] != reply.json["done"]
        assert b"NaN" in reply.body
        return
    else:
        assert reply.body == (b"" if body == "empty" else body.encode())
    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.body)


def test_a_compressed_body_is_a_bomb(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "garbage", "body": "gzip"})
    reply = synth.call("GET", path)
    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) < 100_000
    assert len(gzip.decompress(reply.body)) == 20_000_000


def test_a_body_may_have_no_end_to_speak_of(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "garbage", "body": "zeros"})
    with socket.create_connection(("127.0.0.1", synth.port), timeout=5) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = 0
        while got < 20_000_000:
            got += len(line.recv(1 << 20))
    synth.trouble()
    assert synth.call("GET", path).json["state"] == "running"


@pytest.mark.parametrize("status", [None, 301, 307])
def test_a_redirect_leads_away_and_does_no_work(synth: SynthProcess, status: int | None) -> None:
    more = {} if status is None else {"status": status}
    synth.trouble({"kind": "redirect", "to": "http://127.0.0.1:1/latest", "on": ["start"], **more})
    before = synth.call("GET", "/v1/stats").json["starts"]
    reply = synth.call("POST", "/v1/renders", {"mode": "clock"})
    assert (reply.status, reply.headers["location"]) == (status or 302, "http://127.0.0.1:1/latest")
    assert synth.call("GET", "/v1/stats").json["starts"] == before


def test_a_start_that_is_taken_twice_makes_two(synth: SynthProcess) -> None:
    key = {"Idempotency-Key": "twice-1"}
    synth.trouble({"kind": "twice", "on": ["start"]})
    made = [synth.call("POST", "/v1/renders", {"mode": "clock"}, key) for _ in range(2)]
    assert [reply.status for reply in made] == [201, 201]
    first, second = (reply.json["id"] for reply in made)
    assert first != second
    assert [synth.call("GET", f"/v1/renders/{each}").json["state"] for each in (first, second)] == ["running"] * 2


def test_a_stranger_is_another_render(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "stranger", "id": "somebody-else"})
    assert synth.call("GET", path).json["id"] == "somebody-else"
    batch = synth.call("POST", "/v1/renders/status", {"ids": [path.rsplit("/", 1)[1]]}).json
    assert [render["id"] for render in batch["renders"]] == ["somebody-else"]


def test_garbage_at_the_start_has_started(synth: SynthProcess) -> None:
    before = synth.call("GET", "/v1/stats").json["starts"]
    synth.trouble({"kind": "garbage", "body": "html"})
    assert synth.call("POST", "/v1/renders", {"mode": "clock"}).status == 201
    assert synth.call("GET", "/v1/stats").json["starts"] == before + 1


def test_hang_never_answers(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "hang", "times": 1})
    with pytest.raises(TimeoutError):
        synth.call("GET", path, timeout=0.3)
    assert synth.call("GET", path).status == 200


def test_drip_sends_a_byte_at_a_time(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "drip", "ms": 1})
    began = time.monotonic()
    assert synth.call("GET", path).json["state"] == "running"
    assert time.monotonic() - began > 0.2
    synth.trouble({"kind": "drip"})
    with socket.create_connection(("127.0.0.1", synth.port), timeout=5) as line:
        began, got = time.monotonic(), b""
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while not got.partition(b"\r\n\r\n")[2]:
            got += line.recv(65_536)
        time.sleep(0.6)
        line.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            got += line.recv(65_536)
    body = got.partition(b"\r\n\r\n")[2]
    assert body.startswith(b"{")
    assert len(body) <= 1 + time.monotonic() - began  # one a second


def test_reset_comes_in_the_middle_of_the_body(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "reset"})
    with socket.create_connection(("127.0.0.1", synth.port), timeout=5) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = b""
        with pytest.raises(ConnectionResetError):  # noqa: PT012 - whichever read it is
            while True:
                got += line.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.startswith(b'{"id"')
    assert not body.endswith(b"}")


def test_lost_reply_does_the_work_first(synth: SynthProcess) -> None:
    synth.trouble({"kind": "lost-reply", "times": 1})
    with pytest.raises(ConnectionResetError):
        raw(synth, "POST", "/v1/renders", b'{"mode":"clock"}', "Idempotency-Key: lost-1\r\n")
    again = synth.call("POST", "/v1/renders", {"mode": "clock"}, {"Idempotency-Key": "lost-1"})
    assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
    synth.trouble({"kind": "lost-reply", "times": 1, "on": ["cancel"]})
    path = again.headers["location"]
    with pytest.raises((OSError, http.client.HTTPException)):
        synth.call("DELETE", path)
    assert synth.call("GET", path).json["state"] == "cancelled"


def test_backwards_goes_down_and_up(synth: SynthProcess, until: Until) -> None:
    path = synth.call("POST", "/v1/renders", {"mode": "clock", "length": 600, "pace": 10}).headers["location"]
    until(lambda: synth.call("GET", path).json["done"] > 300_000)
    synth.trouble({"kind": "backwards"})
    done = [synth.call("GET", path).json["done"] for _ in range(4)]
    assert done[0] > done[1] < done[2] > done[3]


def test_forget_loses_the_named_or_all(synth: SynthProcess) -> None:
    made = [
        synth.call("POST", "/v1/renders", {"mode": mode, "length": 60}, {"Idempotency-Key": f"forget-{mode}"}).json
        for mode in ("clock", "render")
    ]
    ids = [each["id"] for each in made]
    synth.trouble({"kind": "forget", "ids": [ids[0], "nobody"], "times": 1})
    answer = synth.call("POST", "/v1/renders/status", {"ids": ids}).json
    assert [each["id"] for each in answer["renders"]] == ids[1:]
    assert answer["unknown"] == ids[:1]
    assert synth.call("GET", f"/v1/renders/{ids[0]}").status == 404
    assert synth.call("GET", "/v1/renders?key=forget-clock").json == {"renders": []}
    synth.trouble({"kind": "forget", "times": 1})
    assert synth.call("GET", f"/v1/renders/{ids[1]}").status == 404
    assert synth.call("GET", f"/v1/renders/{ids[1]}").status == 404
    stats = synth.call("GET", "/v1/stats").json
    assert (stats["known"], stats["live"], stats["files"]) == (0, 0, 0)


def test_die_ends_the_process_at_once(own: SynthProcess) -> None:
    own.trouble({"kind": "die", "on": ["start"]})
    with pytest.raises((OSError, http.client.HTTPException)):
        own.call("POST", "/v1/renders", {"mode": "clock"})
    assert own.wait() == 70


@pytest.mark.parametrize("value", ["-5", '"half"', "1e400", "-1e400", "null", "[1,{}]", "NaN", "0.5", "1" + "0" * 400])
def test_percent_says_anything(synth: SynthProcess, path: str, value: str) -> None:
    assert synth.call("PUT", "/v1/trouble", f'{{"kind":"percent","done":{value}}}'.encode()).status == 200
    body = synth.call("GET", path).body.decode()
    assert f'"done":{value},' in body
    assert '"total":13230000' in body
    assert f'"done":{value},' in synth.call("GET", "/v1/trouble").body.decode()
    synth.call("PUT", "/v1/trouble", f'{{"kind":"percent","total":{value}}}'.encode())
    batch = synth.call("POST", "/v1/renders/status", {"ids": [path.rsplit("/", 1)[1]]}).body.decode()
    assert f'"total":{value},' in batch


@pytest.mark.parametrize("word", ["succeeded", "failed", "", "RUNNING", "☃"])
def test_state_says_any_word(synth: SynthProcess, path: str, word: str) -> None:
    synth.trouble({"kind": "state", "state": word})
    assert synth.call("GET", path).json["state"] == word
    synth.trouble()
    assert synth.call("GET", path).json["state"] == "running"


def test_kinds_combine(synth: SynthProcess, path: str) -> None:
    synth.trouble({"kind": "latency", "ms": 60}, {"kind": "state", "state": "odd"}, {"kind": "percent", "done": -1})
    began = time.monotonic()
    render = synth.call("GET", path).json
    assert (render["state"], render["done"]) == ("odd", -1)
    assert time.monotonic() - began >= 0.06


def test_a_file_can_be_troubled_too(synth: SynthProcess, until: Until) -> None:
    made = synth.call("POST", "/v1/renders", {"length": 0.5, "pace": 100}).json
    path = f"/v1/renders/{made['id']}"
    until(lambda: synth.call("GET", path).json["state"] == "succeeded")
    synth.trouble({"kind": "garbage", "body": "truncated", "on": ["file"]})
    assert len(synth.call("GET", f"{path}/file").body) == (44 + 22_050) * 2 // 3
    synth.trouble({"kind": "reset", "on": ["file"]})
    with pytest.raises((OSError, http.client.HTTPException)):
        synth.call("GET", f"{path}/file")
