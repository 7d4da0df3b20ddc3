"""The page that Prometheus reads: what this process has counted, and how the schedule stands (text format 0.0.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .. import registry
from ..consumers.calls import breakers
from ..delay import Status, trouble
from ..delay.counts import Sample, registered
from .readiness import LIMIT, logger

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Asked(NamedTuple):
    """A gauge that is not counted, but asked for when somebody reads the page.

    :param says: what it is, in one line.
    :param labels: their names.
    """

    says: str
    labels: tuple[str, ...] = ()


ASKED = {
    "progrock_breaker_open": Asked(
        "1 if a service seems dead to this process' worker, which hardly calls it.", ("service",)
    ),
    "progrock_store_up": Asked("1 if the schedule's store answers."),
    "progrock_entries": Asked("Entries in the schedule: not due yet, due, held by a worker, dead.", ("state",)),
    "progrock_late_seconds": Asked("For how long the first of the entries that are due has been."),
    "progrock_schedulers": Asked("Schedulers alive, by heartbeat."),
    "progrock_workers": Asked("Workers of jobs alive, by heartbeat."),
    "progrock_slots": Asked("Leases that the workers of jobs take at a time."),
    "progrock_slots_taken": Asked("Leases that they have."),
}


async def page(*, schedule: bool = True) -> str:
    """Return the page.

    :param schedule: whether the store is asked how the schedule stands. That is the same for all processes, and the
        cost grows with those who ask.
    """
    blocks = [_block(each.name, each.kind, each.says, each.samples()) for _, each in sorted(registered.items())]
    found: dict[str, list[tuple[Sequence[str], float]]] = {
        "progrock_breaker_open": [((name,), float(dead)) for name, dead in sorted(breakers().items())]
    }
    if schedule:
        status = await _status()
        found["progrock_store_up"] = [((), float(status is not None))]
        if status is not None:
            found |= _standing(status)
    for name, values in found.items():
        asked = ASKED[name]
        samples = [("", list(zip(asked.labels, labels, strict=True)), value) for labels, value in values]
        blocks.append(_block(name, "gauge", asked.says, samples))
    return "".join(blocks)


async def _status() -> Status | None:
    try:
        async with asyncio.timeout(LIMIT):
            return await registry.store().status()
    except Exception as error:
        trouble.say(logger, "Metrics go without the schedule: %r", error)
        return None


def _standing(status: Status) -> dict[str, list[tuple[Sequence[str], float]]]:
    """Return what a status says, by the names of gauges."""
    mine = [each for each in status.readers if each.channel == registry.CHANNEL and each.slots]
    entries = {
        "waiting": status.waiting - status.overdue,
        "due": status.overdue,
        "held": status.held,
        "dead": status.dead,
    }
    return {
        "progrock_entries": [((state,), float(many)) for state, many in entries.items()],
        "progrock_late_seconds": [((), status.late / 1_000_000)],
        "progrock_schedulers": [((), float(len(status.schedulers)))],
        "progrock_workers": [((), float(len(mine)))],
        "progrock_slots": [((), float(sum(each.slots for each in mine)))],
        "progrock_slots_taken": [((), float(sum(each.taken for each in mine)))],
    }


def _block(name: str, kind: str, says: str, samples: Iterable[Sample]) -> str:
    return "".join(_lines(name, kind, says, samples))


def _lines(name: str, kind: str, says: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {says}\n# TYPE {name} {kind}\n"
    for suffix, labels, value in samples:
        named = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels)
        yield f"{name}{suffix}{{{named}}} {value!r}\n" if named else f"{name}{suffix} {value!r}\n"


def _quoted(text: str) -> str:
    """Return a label's value as the format has it: a service may be called anything."""
    whole = text.encode(errors="backslashreplace").decode()
    return whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
