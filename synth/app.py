"""The HTTP API: one route per thing a client can ask, each answered with JSON."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

from synth import mischief, wire
from synth.renders import FINAL, Order, Render
from synth.studio import Studio
from synth.trouble import Switchboard
from synth.wire import Answer, Refusal

log = logging.getLogger("synth")

BODY_MOST = 256 * 1024
"""Bytes of a request body."""
IDS_MOST = 1_000

Handler = Callable[[web.Request], Awaitable[Answer]]
Middleware = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(home: Path) -> web.Application:
    """Make the service that keeps its renders in `home`; one process may hold several, each with its own.

    Raises:
        HomeBusyError: another synth works in `home`.
    """
    desk = _Desk(Studio(home))
    app = web.Application(client_max_size=BODY_MOST, middlewares=[_errors_as_json])
    renders = "/v1/renders"
    app.add_routes(
        [
            web.post(renders, desk.route("start", desk.start, trouble="start")),
            web.get(renders, desk.route("lookup", desk.lookup, trouble="status")),
            web.post(f"{renders}/status", desk.route("batch", desk.batch, trouble="status")),
            web.get(f"{renders}/{{id}}", desk.route("status", desk.status, trouble="status")),
            web.delete(f"{renders}/{{id}}", desk.route("cancel", desk.cancel, trouble="cancel")),
            web.get(f"{renders}/{{id}}/file", desk.route("file", desk.file, trouble="file")),
            web.get("/v1/stats", desk.route("stats", desk.stats)),
            web.get("/v1/trouble", desk.route("trouble", desk.show_trouble)),
            web.put("/v1/trouble", desk.route("trouble", desk.put_trouble)),
            web.delete("/v1/trouble", desk.route("trouble", desk.clear_trouble)),
            web.get("/healthz", desk.route("healthz", desk.health)),
        ]
    )
    app.cleanup_ctx.append(desk.hours)
    return app


class _Desk:
    """Takes the requests for one studio."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._troubles = Switchboard()
        self._requests: Counter[str] = Counter()

    async def hours(self, _app: web.Application) -> AsyncIterator[None]:
        self._studio.open()
        yield
        await self._studio.close()

    def route(self, name: str, handler: Handler, trouble: str | None = None) -> Middleware:
        """Count the requests to a handler, let trouble have its way with them, and send the answer."""

        async def serve(request: web.Request) -> web.StreamResponse:
            self._requests[name] += 1
            struck = self._troubles.strike(trouble) if trouble else {}
            answer = await mischief.before(struck, request, self._studio)
            if answer is None:
                try:
                    answer = await handler(request)
                except Refusal as refusal:
                    answer = refusal.answer
            answer = mischief.spoil(struck, answer)
            spoilt = await mischief.deliver(struck, answer, request)
            return _reply(answer) if spoilt is None else spoilt

        return serve

    async def start(self, request: web.Request) -> Answer:
        key = request.headers.get("Idempotency-Key")
        if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise wire.wrong("Idempotency-Key", "1 to 255 printable ASCII characters", key)
        order = Order.read(wire.loads(await request.read()))
        render, new = self._studio.start(order, key)
        headers = {"Location": f"/v1/renders/{render.id}"}
        if not new:
            headers["Idempotent-Replayed"] = "true"
        return Answer(render.show(), 201 if new else 200, headers)

    async def lookup(self, request: web.Request) -> Answer:
        if list(request.query) != ["key"]:
            got = ", ".join(request.query) or "none"
            raise Refusal(400, "bad-query", f"expected the one query parameter key, got {got}")
        render = self._studio.by_key(request.query["key"])
        return Answer({"renders": [] if render is None else [render.show()]})

    async def batch(self, request: web.Request) -> Answer:
        ids = wire.fields(wire.loads(await request.read()), ("ids",)).get("ids")
        if not isinstance(ids, list) or len(ids) > IDS_MOST or not all(isinstance(name, str) for name in ids):
            raise wire.wrong("ids", f"a list of up to {IDS_MOST} strings", ids)
        found = [(name, self._studio.get(name)) for name in ids]
        return Answer(
            {
                "renders": [render.show() for _, render in found if render is not None],
                "unknown": [name for name, render in found if render is None],
            }
        )

    async def status(self, request: web.Request) -> Answer:
        return Answer(self._find(request).show())

    async def cancel(self, request: web.Request) -> Answer:
        render = self._find(request)
        self._studio.cancel(render)
        return Answer(render.show())

    async def file(self, request: web.Request) -> Answer:
        render = self._find(request)
        if render.state not in FINAL:
            raise Refusal(409, "not-finished", f"expected a render that has succeeded, got one that is {render.state}")
        path = self._studio.path(render)
        if not render.bytes or not path.exists():
            raise Refusal(
                404,
                "no-file",
                f"expected a render with a file, got one that {render.state} without or lost it",
            )
        return Answer(path, headers={"Content-Type": "audio/wav"})

    async def stats(self, _request: web.Request) -> Answer:
        counts = self._studio.counts()
        return Answer({**counts, "requests": dict(self._requests), "trouble": self._troubles.hits})

    async def show_trouble(self, _request: web.Request) -> Answer:
        return Answer(self._troubles.show())

    async def put_trouble(self, request: web.Request) -> Answer:
        self._troubles.put(wire.loads(await request.read(), wild=True))
        return Answer(self._troubles.show())

    async def clear_trouble(self, _request: web.Request) -> Answer:
        self._troubles.clear()
        return Answer(self._troubles.show())

    async def health(self, _request: web.Request) -> Answer:
        return Answer({"status": "ok"})

    def _find(self, request: web.Request) -> Render:
        name = request.match_info["id"]
        render = self._studio.get(name)
        if render is None:
            raise Refusal(404, "unknown-render", f"expected the id of a known render, got {wire.show(name)}")
        return render


def _reply(answer: Answer) -> web.StreamResponse:
    if isinstance(answer.payload, Path):
        return web.FileResponse(answer.payload, headers=answer.headers)
    headers = {"Content-Type": "application/json", **answer.headers}
    return web.Response(body=answer.body(), status=answer.status, headers=headers)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Middleware) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        message = f"expected a body of at most {BODY_MOST} bytes, got a longer one"
        return _reply(Refusal(413, "too-large", message).answer)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"expected {allowed} here, got {request.method}"
        return _reply(Refusal(405, "wrong-method", message, {"Allow": allowed}).answer)
    except web.HTTPNotFound:
        message = f"expected a path of this API, got {wire.show(request.path)}"
        return _reply(Refusal(404, "unknown-path", message).answer)
    except web.HTTPException:
        raise
    except ConnectionError:
        raise
    except Exception:
        log.exception("%a %a failed", request.method, request.path)
        message = "expected to answer, got an error of our own; it is in the log"
        return _reply(Refusal(500, "internal", message).answer)
