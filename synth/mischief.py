"""Carries the trouble out: spoils a request before its work is done, or its reply afterwards."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import struct
from http.client import responses
from typing import Any

from aiohttp import web

from synth import wire
from synth.studio import Studio
from synth.trouble import Trouble
from synth.wire import Answer

DEAD = 70
"""Exit code of a process that was told to die."""
_DEEP = 100_000
_HUGE = 10_000_000
_ENDLESS = 1 << 30
_BLOCK = b"0" * (1 << 16)

Struck = dict[str, Trouble]


async def before(struck: Struck, request: web.Request, studio: Studio) -> Answer | None:
    """Spoil what comes before the work; an answer means that the work is not to be done at all."""
    if "die" in struck:
        os._exit(DEAD)
    if "latency" in struck:
        await asyncio.sleep(struck["latency"].options["ms"] / 1000)
    if "hang" in struck:
        while not _gone(request):  # noqa: ASYNC110 - nothing tells a handler that its client has left
            await asyncio.sleep(0.05)
        return Answer(b"", 499)
    if "forget" in struck:
        names = struck["forget"].options.get("ids", "all")
        studio.forget(None if names == "all" else names)
    if "twice" in struck:
        studio.forget_key(request.headers.get("Idempotency-Key"))
    if "redirect" in struck:
        options = struck["redirect"].options
        return Answer({}, options.get("status", 302), {"Location": str(options["to"])})
    if "status" in struck:
        options = struck["status"].options
        status = options["status"]
        headers = {"Retry-After": f"{options['retry_after']}"} if "retry_after" in options else {}
        return Answer(
            {"error": {"code": "trouble", "message": f"{responses.get(status, 'trouble')}, as asked for"}},
            status,
            headers,
        )
    return None


def spoil(struck: Struck, answer: Answer) -> Answer:
    """Change what the reply says."""
    if answer.status < 400:
        for render in _renders(answer.payload):
            _bend(struck, render)
    if "garbage" in struck:
        return _garbage(struck["garbage"].options["body"], answer)
    return answer


async def deliver(struck: Struck, answer: Answer, request: web.Request) -> web.StreamResponse | None:
    """Reply in a spoilt manner; None means that the reply is to go out in the ordinary way."""
    if "lost-reply" in struck:
        _reset(request)
        return web.Response()
    if "garbage" in struck and struck["garbage"].options["body"] == "zeros":
        return await _zeros(answer, request)
    if not {"reset", "drip"} & struck.keys():
        return None
    body = answer.body()
    reply = web.StreamResponse(status=answer.status, headers=answer.headers)
    reply.headers.setdefault("Content-Type", "application/json")
    reply.content_length = len(body)
    await reply.prepare(request)
    if "reset" in struck:
        await reply.write(body[: len(body) // 2])
        # Half of the reply should be on its way before the connection goes.
        await asyncio.sleep(0.02)
        _reset(request)
        return reply
    wait = struck["drip"].options.get("ms", 1000) / 1000
    for at in range(len(body)):
        if _gone(request):
            break
        await reply.write(body[at : at + 1])
        await asyncio.sleep(wait)
    return reply


async def _zeros(answer: Answer, request: web.Request) -> web.StreamResponse:
    reply = web.StreamResponse(status=answer.status, headers={**answer.headers, "Content-Type": "application/json"})
    reply.content_length = _ENDLESS
    await reply.prepare(request)
    for _ in range(_ENDLESS // len(_BLOCK)):
        if _gone(request):
            break
        await reply.write(_BLOCK)
    return reply


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _reset(request: web.Request) -> None:
    if request.transport is None:
        return
    line = request.transport.get_extra_info("socket")
    if line is not None:
        # Lingering for no time makes the kernel send RST instead of an orderly end.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def _renders(payload: object) -> list[wire.Fields]:
    if not isinstance(payload, dict):
        return []
    if "renders" in payload:
        return list(payload["renders"])
    return [payload] if "id" in payload else []


def _bend(struck: Struck, render: wire.Fields) -> None:
    # The first reading is a true one, so that there is something to fall back from.
    if "backwards" in struck and struck["backwards"].hits % 2 == 0:
        render["done"] = int(render["done"] * 0.4)
    if "percent" in struck:
        render.update(struck["percent"].options)
    if "state" in struck:
        render["state"] = struck["state"].options["state"]
    if "stranger" in struck:
        render["id"] = struck["stranger"].options["id"]


def _garbage(sort: str, answer: Answer) -> Answer:
    headers = {**answer.headers, "Content-Type": "application/json"}
    payload: Any
    if sort == "html":
        headers["Content-Type"] = "text/html; charset=utf-8"
        payload = b"<!doctype html><html><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>\n"
    elif sort == "truncated":
        whole = answer.body()
        payload = whole[: len(whole) * 2 // 3]
    elif sort == "deep":
        payload = b"[" * _DEEP + b"]" * _DEEP
    elif sort == "huge":
        more = answer.payload if isinstance(answer.payload, dict) else {}
        payload = wire.dumps({"padding": "x" * _HUGE, **more}).encode()
    elif sort == "gzip":
        headers["Content-Encoding"] = "gzip"
        payload = gzip.compress(b"0" * _HUGE * 2, compresslevel=1)
    elif sort in ("empty", "zeros"):
        payload = b""
    elif sort == "nan":
        for render in _renders(answer.payload):
            render.update(done=float("nan"), total=float("nan"))
        payload = answer.body() if _renders(answer.payload) else b"NaN"
    else:
        payload = sort.encode("utf-8", "surrogatepass")
    return Answer(payload, answer.status, headers)
