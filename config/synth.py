"""The adapter of the demo's remote service."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from progrock.exceptions import InvalidParams
from progrock.protocol import State
from progrock.services import Client, Elsewhere, File, Order, Service, Started
from progrock.step import Look, Miss, Reading

_STATES = {
    "queued": State.PENDING,
    "running": State.RUNNING,
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
}


class Params(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a render can be asked for; see `synth/`."""

    meter: Literal["5/4", "7/8", "9/8", "11/8", "13/8"] | None = None
    tempo: Annotated[int, msgspec.Meta(ge=60, le=240)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
    length: Annotated[float, msgspec.Meta(ge=0.5, le=600)] | None = None
    pace: Annotated[float, msgspec.Meta(ge=0.1, le=100)] | None = None
    mode: Literal["render", "clock"] | None = None


class SynthService(Service):
    """The synth, over its HTTP API.

    :param base_url: where it is.
    :param options: those of :class:`~progrock.services.Client`.
    """

    finds = True
    starts_once = True
    batch = 250

    def __init__(self, base_url: str, **options: Any) -> None:
        self.http = Client(base_url, **options)

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters with a seed, so that a start that is tried again is the same start."""
        try:
            # A form sends numbers as text.
            checked = msgspec.convert(params, Params, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidParams(f"params: {error}.") from None
        except UnicodeEncodeError:
            raise InvalidParams("params: expected text, got half a character (a lone surrogate) in it.") from None
        if checked.seed is None:
            checked.seed = random.randrange(2**31)
        cleaned: dict[str, Any] = msgspec.to_builtins(checked)
        return cleaned

    def title(self, params: dict[str, Any]) -> str:
        return "A track without a name yet"

    async def start(self, order: Order) -> Started | Miss:
        reply = await self.http.call(
            "POST", "/v1/renders", json=order.params, headers={"Idempotency-Key": order.job}, expect=(200, 201)
        )
        if isinstance(reply, Miss):
            return _of_the_call(reply)
        look = _reading(reply.body)
        if isinstance(look, Miss):
            return look
        remote = reply.body.get("id")
        if not isinstance(remote, str) or not 0 < len(remote) <= 200 or not remote.isprintable():
            return _nonsense("an id", reply.body)
        return Started(remote, look)

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        reply = await self.http.call("POST", "/v1/renders/status", json={"ids": remotes})
        if isinstance(reply, Miss):
            return [_of_the_call(reply)] * len(remotes)
        try:
            renders = {render["id"]: render for render in reply.body["renders"]}
            unknown = set(reply.body["unknown"])
        except (TypeError, KeyError):
            return [_nonsense("a list of renders", reply.body)] * len(remotes)
        vanished = Miss("vanished", "The synth does not know this track any more.")
        return [
            vanished
            if remote in unknown
            else _reading(renders[remote])
            if remote in renders
            else _nonsense(f"the render {remote}", reply.body)
            for remote in remotes
        ]

    async def cancel(self, remote: str) -> Look:
        reply = await self.http.call("DELETE", f"/v1/renders/{quote(remote, safe='')}")
        return reply if isinstance(reply, Miss) else _reading(reply.body)

    async def find(self, job: str) -> str | Miss | None:
        reply = await self.http.call("GET", f"/v1/renders?key={quote(job, safe='')}")
        if isinstance(reply, Miss):
            return reply
        try:
            found = [str(render["id"]) for render in reply.body["renders"]]
        except (TypeError, KeyError):
            return _nonsense("a list of renders", reply.body)
        return found[0] if found else None

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Elsewhere | Miss:
        return await self.http.fetch(f"/v1/renders/{quote(remote, safe='')}/file", headers)

    async def aclose(self) -> None:
        await self.http.aclose()


def _of_the_call(miss: Miss) -> Miss:
    """Return a miss that is about no job: what is not known (404) is the call."""
    return (
        replace(miss, code="refused", message="The synth does not know this call.") if miss.code == "vanished" else miss
    )


def _reading(render: object) -> Look:
    """Return what the synth's words for a render mean."""
    if not isinstance(render, dict):
        return _nonsense("a render", render)
    # A word we do not know is taken for "still at it"; the deadline still holds.
    state = _STATES.get(str(render.get("state")), State.RUNNING)
    done, total = _number(render.get("done")), _number(render.get("total"))
    file, error = render.get("file"), render.get("error")
    reason = error.get("message") if isinstance(error, dict) else error
    kept = ("title", "meter", "tempo", "seed", "length")
    return Reading(
        state=state,
        percent=done / total * 100 if done is not None and total else None,
        message=str(reason or render.get("message") or ""),
        title=f"{render.get('title')} — {render.get('meter')}, {render.get('tempo')} bpm",
        result={key: render[key] for key in kept if key in render} if state is State.SUCCEEDED else None,
        file="audio/wav" if isinstance(file, dict) else None,
        lines=log if isinstance(log := render.get("log"), list) else (),
    )


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _nonsense(expected: str, got: object) -> Miss:
    return Miss("nonsense", f"The synth's answer made no sense: expected {expected}, got {type(got).__name__}.")
