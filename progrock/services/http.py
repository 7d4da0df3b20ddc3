"""A remote HTTP API as an adapter, by settings alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from .. import tracing
from ..exceptions import InvalidParams
from ..expression import Senseless
from ..protocol import State
from ..step import Look, Miss, Reading
from .api import Api
from .base import Elsewhere, File, Order, Service, Started
from .call import Call
from .client import Body, Client, Reply, retry_after
from .declared import declared
from .template import inside

Q = TypeVar("Q")
A = TypeVar("A")

_NAME_MOST = 200
_SEEN_MOST = 10_000
_TAG_MOST = 200
_LISTED_MOST = 20_000
_STANDS = (200, 201, 202, 204, 303, 304)
"""Status codes that say how a job stands."""
_MADE = (200, 204)
"""Status codes that bring what a job has made, which may be nothing."""
_LATE = Miss("unreachable", "The service did not answer in time.")
_OUTSIDE = Miss("nonsense", "The service's name for the job leads out of its API.", heard=False)
_SENSELESS = Miss("nonsense", "The service's answer made no sense.")


class HTTPService(Service):
    """A remote HTTP API that its options describe.

    :param options: see `docs/reference/services.md`.
    :raises ValueError: naming the option that cannot be, what was expected there, and what came.
    """

    def __init__(self, **options: Any) -> None:
        self._api = api = Api(declared(options))
        self._reader = api.reader
        self._http = Client(**api.client)
        self._patience: float = api.client["timeout"] / 1000
        self._connections: int = api.client["connections"]
        # What was last said of a job, and the entity tag that it came with.
        self._seen: OrderedDict[str, tuple[str, Reading]] = OrderedDict()
        self.finds = api.find is not None
        # Who puts a job twice to the same place has put it there once (RFC 9110, 9.2.2).
        self.starts_once = api.key is not None or (api.start.method == "PUT" and "job" in api.start.names)
        self.batch = api.size

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters, if the call that starts a job can be made of them."""
        for name in self._api.start.needs:
            if not isinstance(params.get(name), str | int | float) or params[name] == "":
                raise InvalidParams(f"params: expected {name!r} as text or a number, got {params.get(name)!a:.80}.")
        values = {"job": "job", "params": params, "hook": None}
        if self._api.start.path(values) is None:
            names = ", ".join(repr(name) for name in self._api.start.needs)
            raise InvalidParams(f"params: expected a name in {names}, got what leads elsewhere.")
        try:
            self._api.start.sent(values)
        except (Senseless, TypeError, ValueError) as error:
            raise InvalidParams(
                f"params: expected what the service can be sent, got others: {str(error)[:200]}."
            ) from None
        return params

    async def start(self, order: Order) -> Started | Miss:
        api, headers = self._api, {}
        if api.key:
            headers[api.key] = order.job
        values = {"job": order.job, "params": order.params, "hook": order.hook or None}
        body: Body = "ignored" if api.location else "optional" if api.named else "needed"
        # Who knows starts that it has had may say so.
        expect = (*api.started, 409) if self.starts_once else api.started
        reply = await self._call(api.start, values, headers, expect=expect, body=body)
        if not isinstance(reply, Miss) and reply.status == 409:
            return await self._had(order.job)
        if isinstance(reply, Miss):
            # It is no job that is not known: it is the call.
            return replace(reply, code="refused") if reply.code == "vanished" else reply
        try:
            job = api.start.job(reply.body)
            state = self._reader.state(job)
        except Senseless:
            return _SENSELESS
        reading = self._reader.read(job, state or State.RUNNING, _again(reply))
        if isinstance(reading, Miss):
            reading = Reading(State.RUNNING)
        name = self._named(reply, job, values)
        if name is None or not name.isprintable() or len(name) > _NAME_MOST or (api.named and state is State.FAILED):
            if state is State.FAILED:
                return Miss("refused", reading.message or "The service refused to start it.", heard=False)
            return Miss("nonsense", f"The service's answer has no name for the job of at most {_NAME_MOST} characters.")
        if reading.state is State.SUCCEEDED and api.result:
            # Its result is yet to be fetched: that is for the first look.
            reading = replace(reading, state=State.RUNNING)
        return Started(name, reading)

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        call, size = self._api.batch, self._api.size
        end = asyncio.get_running_loop().time() + self._patience
        if call is None:
            return [look or _LATE for look in await self._side_by_side(tracing.each(self._look), remotes, end)]
        parts = [remotes[at : at + size] for at in range(0, len(remotes), size)]
        answers = await self._side_by_side(partial(self._look_at_many, call, end), parts, end)
        return [look for part, looks in zip(parts, answers, strict=True) for look in looks or [_LATE] * len(part)]

    async def cancel(self, remote: str) -> Look:
        if self._api.cancel is None:
            look = await self._evidence(remote)
            if isinstance(look, Miss) or look.state.complete:
                return look
            return replace(look, message="The service cannot be told to stop: this goes on until its own end.")
        call = self._api.cancel
        reply = await self._call(call, {"remote": remote}, expect=self._api.cancelled, body="ignored")
        if isinstance(reply, Miss):
            if reply.code != "refused":
                return reply
            # It may be over, which is why it cannot be stopped.
            look = await self._evidence(remote)
            return look if isinstance(look, Reading) and look.state.complete else reply
        look = self._read(call, reply, remote)
        if isinstance(look, Reading) and look.state.complete and look.state is not State.SUCCEEDED:
            return look
        look = await self._evidence(remote)
        # It was told, and has put the job away.
        gone = isinstance(look, Miss) and look.code == "vanished"
        return Reading(State.CANCELLED) if gone else look

    async def find(self, job: str) -> str | Miss | None:
        call = self._api.find
        if call is None:
            return await super().find(job)
        reply = await self._call(call, {"job": job})
        if isinstance(reply, Miss):
            return None if reply.code == "vanished" else reply
        try:
            found = call.job(reply.body)
        except Senseless:
            return _SENSELESS
        if found is None or found is False or found in ("", []):
            return None
        name = self._reader.name(found) or (job if self._api.named else None)
        return name or Miss("nonsense", "The service's answer has no name for the job.")

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Elsewhere | Miss:
        call = self._api.file
        if call is None:
            return Miss("vanished", "The service has no files.")
        path = call.path({"remote": remote})
        if path is None:
            return _OUTSIDE
        if self._api.elsewhere is None:
            return await self._http.fetch(path, {**call.headers, **headers}, redirect=self._api.redirect)
        reply = await self._http.call(call.method, path, headers=call.headers)
        if isinstance(reply, Miss):
            return reply
        try:
            url = self._api.elsewhere(call.job(reply.body))
        except Senseless:
            return _SENSELESS
        return self._http.elsewhere(url if isinstance(url, str) else None, path)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _call(
        self,
        call: Call,
        values: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        expect: tuple[int, ...] = (200,),
        body: Body = "needed",
    ) -> Reply | Miss:
        path = call.path(values)
        if path is None:
            return _OUTSIDE
        try:
            sent = call.sent(values)
        except (Senseless, TypeError, ValueError):
            return Miss("refused", "What is to be sent cannot be made of the parameters.", heard=False)
        merged = {**call.headers, **headers} if headers else call.headers
        return await self._http.call(call.method, path, sent=sent, headers=merged, expect=expect, body=body)

    def _named(self, reply: Reply, job: object, values: Mapping[str, Any]) -> str | None:
        """Return the service's name for a job that it has just started."""
        if self._api.named:
            ours: str = values["job"]
            return ours if self._reader.name(job) in (None, ours) else None
        if self._api.location is None:
            return self._reader.name(job)
        path = self._http.below(reply.headers.get(self._api.location), self._api.start.path(values) or "/")
        # Without its slash, as it stands in a template: /{+remote}.
        return path[1:] if path is not None and inside(path) else None

    async def _had(self, job: str) -> Started | Miss:
        """Return what has become of a start that the service says is in conflict: maybe with itself, sent before.

        If there is no telling, it is sent again a few times: the one before may still be on its way there.
        """
        conflict = Miss("nonsense", "The service refused the call (it answered 409).")
        if not self._api.named:
            return conflict
        look = await self._evidence(job)
        if isinstance(look, Reading):
            return Started(job, look)
        return replace(look, heard=True) if look.code == "unreachable" else conflict

    async def _look(self, remote: str) -> Look:
        call = self._api.status
        if call is None:
            (look,) = await self.poll([remote])
            return look
        seen = self._seen.get(remote)
        headers = {"If-None-Match": seen[0]} if seen else None
        reply = await self._call(call, {"remote": remote}, headers, expect=_STANDS, body="optional")
        if isinstance(reply, Miss):
            return reply
        if reply.status == 304:
            return replace(seen[1], again=_again(reply) or seen[1].again) if seen else _SENSELESS
        look = await self._ended(call, reply, remote) if reply.status == 303 else self._read(call, reply, remote)
        if isinstance(look, Reading):
            self._remember(remote, reply, look)
        return await self._with_result(remote, look) if self._api.result else look

    def _read(self, call: Call, reply: Reply, remote: str) -> Look:
        """Return what a reply about one job says of it."""
        state = None
        if not self._reader.has_state or (reply.body is None and reply.status in (202, 204)):
            state = State.RUNNING if reply.status == 202 else State.SUCCEEDED
        try:
            job = call.job(reply.body)
        except Senseless:
            return _SENSELESS
        name = self._reader.name(job)
        if name is not None and name != remote and self._api.location is None:
            return Miss("nonsense", "The service answered with another job.")
        return self._reader.read(job, state, _again(reply))

    async def _ended(self, call: Call, reply: Reply, remote: str) -> Look:
        """Return what is at the end of a redirect from a job to what it has made (303), if that is in the API."""
        there = self._http.below(reply.headers.get("Location"), call.path({"remote": remote}) or "/")
        if there is None or not inside(there) or not self._reader.has_result:
            return self._reader.read(None, State.SUCCEEDED)
        made = await self._http.call("GET", there, headers=call.headers, expect=_MADE, body="optional")
        return made if isinstance(made, Miss) else self._reader.read(made.body, State.SUCCEEDED)

    def _remember(self, remote: str, reply: Reply, look: Reading) -> None:
        tag = reply.headers.get("ETag")
        self._seen.pop(remote, None)
        # What is over is not asked for again.
        if tag and len(tag) <= _TAG_MOST and tag.isascii() and tag.isprintable() and not look.state.complete:
            self._seen[remote] = tag, look
            if len(self._seen) > _SEEN_MOST:
                self._seen.popitem(last=False)

    async def _look_at_many(self, call: Call, end: float, remotes: Sequence[str]) -> list[Look]:
        reply = await self._call(call, {"remotes": list(remotes)})
        if isinstance(reply, Miss):
            # It is no job that is not known: it is the call.
            miss = replace(reply, code="refused") if reply.code == "vanished" else reply
            return [miss] * len(remotes)
        try:
            each = self._api.each(call.job(reply.body)) if self._api.each else None
        except Senseless:
            each = None
        if not isinstance(each, list) or len(each) > _LISTED_MOST:
            return [_SENSELESS] * len(remotes)
        jobs = {self._reader.name(job): job for job in each}
        again, gone = _again(reply), Miss("vanished", "The service does not know this job any more.")
        looks = [self._reader.read(jobs[name], None, again) if name in jobs else gone for name in remotes]
        if self._api.result is None:
            return looks
        pairs = list(zip(remotes, looks, strict=True))
        whole = await self._side_by_side(lambda pair: self._with_result(*pair), pairs, end)
        return [look or _LATE for look in whole]

    async def _with_result(self, remote: str, look: Look) -> Look:
        """Fetch a finished job's result. While it cannot be had, the job is not seen to have ended."""
        call = self._api.result
        if call is None or not isinstance(look, Reading) or look.state is not State.SUCCEEDED:
            return look
        reply = await self._call(call, {"remote": remote}, expect=_MADE, body="optional")
        if isinstance(reply, Miss):
            return reply
        try:
            return replace(look, result=call.job(reply.body))
        except Senseless:
            return _SENSELESS

    async def _evidence(self, remote: str) -> Look:
        (look,) = await self.poll([remote])
        return look

    async def _side_by_side(
        self, ask: Callable[[Q], Awaitable[A]], questions: Sequence[Q], end: float
    ) -> list[A | None]:
        """Ask all, as many at once as there are connections.

        :param end: when to stop asking, by the loop's clock. Who asks one question waits for its answer.
        :returns: the answers in that order, None where there was no time for one.
        """
        if len(questions) == 1:
            return [await ask(questions[0])]
        answers: list[A | None] = [None] * len(questions)
        left = iter(enumerate(questions))

        async def ask_on() -> None:
            for at, question in left:
                answers[at] = await ask(question)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end), asyncio.TaskGroup() as group:
                for _ in range(min(self._connections, len(questions))):
                    group.create_task(ask_on())
        return answers


def _again(reply: Reply) -> int | None:
    value = reply.headers.get("Retry-After")
    return retry_after(value, datetime.now(UTC)) if value else None
