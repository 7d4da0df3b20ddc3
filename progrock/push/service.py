"""The adapter of jobs that own code does: it reads what the code has said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from .. import registry
from ..delay import StoreAway
from ..exceptions import InvalidParams
from ..inbox import End, Report, Said
from ..protocol import Line, State
from ..services import File, Order, Service, Started
from ..services.results import succeeded
from ..standing import run_of
from ..step import LINES_MOST, Look, Miss, Reading

_ASKED = 500
"""Milliseconds from one look to the next while the code is waited for that shall end."""
_WAITING = "Waiting for its turn."
_NOTHING = " "
"""Takes the place of that, where no message at all leaves it."""

_Lines = tuple[int, Sequence[Line]]


class Pushed(Service):
    """Code of one's own, which reports what it does: with :func:`progrock.track`, by a job's id, or over HTTP.

    :param quiet: milliseconds without a word after which it counts as silent; what is tracked says every two seconds
        that it is alive.
    :raises ValueError: if that is no time.
    """

    finds = True
    begins = False
    batch = 500
    alike = False

    def __init__(self, quiet: int = 15_000) -> None:
        if quiet < 1:
            raise ValueError(f"quiet: expected 1 ms or more, got {quiet}.")
        self._quiet = quiet

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        raise InvalidParams("Expected a service that can be asked to start; this one is started by code of its own.")

    async def start(self, order: Order) -> Started | Miss:
        """Take note of it: whoever reports it has begun, or will."""
        (look,) = await self.poll([order.job])
        if isinstance(look, Miss):
            return look if look.code != "lost" else Started(order.job)
        return Started(order.job, look)

    async def find(self, job: str) -> str | Miss | None:
        return job

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        try:
            said = await registry.inbox().read(remotes)
            lines = await _lines({job: each for job, each in zip(remotes, said, strict=True) if each and each.lines})
        except StoreAway:
            return [Miss("unreachable", "What it says cannot be read now.")] * len(remotes)
        return [self._look(each, lines.get(job, (1, ()))) for job, each in zip(remotes, said, strict=True)]

    async def cancel(self, remote: str) -> Look:
        """Ask the code to end, which it hears when it says something next."""
        try:
            await registry.inbox().cancel(remote)
        except StoreAway:
            return Miss("unreachable", "It cannot be told to stop now.")
        (look,) = await self.poll([remote])
        if isinstance(look, Miss) or look.state.complete:
            return look
        return replace(look, message="It was asked to stop.", again=_ASKED)

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Miss:
        return Miss("vanished", "It leaves no file.")

    async def aclose(self) -> None:
        pass

    def _look(self, said: Said | None, lines: _Lines) -> Look:
        if said is None:
            where = ": with memory:// it has to run in the web process." if registry.conf().embedded else "."
            return Miss("lost", f"Its code was never heard{where}")
        percent, message, title = _percent(said.report), _message(said.report), said.report.title or ""
        first, some = lines
        if said.end is not None:
            end = said.end
            reading = succeeded(end.result) if end.state is State.SUCCEEDED else Reading(end.state)
            return replace(
                reading,
                percent=percent,
                message=end.message or reading.message,
                title=title,
                lines=list(some),
                first=first,
            )
        if said.waiting:
            return Reading(State.PENDING, percent, message or _WAITING, title, lines=list(some), first=first)
        if said.silence > self._quiet:
            return Miss("lost", "Its code is not heard any more.")
        return Reading(State.RUNNING, percent, message or _NOTHING, title, lines=list(some), first=first)


async def _lines(said: Mapping[str, Said]) -> dict[str, _Lines]:
    """Return the lines that journals do not have yet, as many as a step takes; for the others, ask for a next step."""
    if not said:
        return {}
    behind: dict[str, int] = {}
    for job, entry in zip(said, await registry.store().peek(list(said)), strict=True):
        run = run_of(entry) if entry is not None else None
        known = run.snapshot.lines if run is not None else 0
        if known > said[job].lines:
            await registry.inbox().follow(job, known)
        if known != said[job].lines:
            behind[job] = known
    found = await asyncio.gather(*(_some(job, known + 1, said[job].end) for job, known in behind.items()))
    more = [job for job, known in behind.items() if said[job].end is None and said[job].lines > known + LINES_MOST]
    if more:
        await registry.store().nudge(more)
    return dict(zip(behind, found, strict=True))


async def _some(job: str, first: int, end: End | None) -> _Lines:
    return await registry.inbox().lines(job, first, registry.conf().journal_most if end else LINES_MOST)


def _percent(report: Report) -> float | None:
    if report.percent is not None:
        return report.percent
    return report.done / report.total * 100 if report.done is not None and report.total else None


def _message(report: Report) -> str:
    if report.message or report.done is None:
        return report.message or ""
    return f"{report.done:,.10g} of {report.total:,.10g}" if report.total else f"{report.done:,.10g}"
