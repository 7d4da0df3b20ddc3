"""The roll-up: how groups stand, by how their children stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Case, Count, F, Sum, When

from .. import registry
from ..models import primary
from ..protocol import State
from ..standing import UNREADABLE

_AT_ONCE = 1_000
"""How many entries are peeked with one script call: a longer one would hold up everybody's steps."""


class _Shown(msgspec.Struct, frozen=True):
    percent: float | None = None


class _Live(msgspec.Struct, frozen=True, tag="run"):
    """All that is of interest in a run, and all that is decoded of it."""

    snapshot: _Shown


class Roll(msgspec.Struct, frozen=True):
    """How a group stands.

    :param params: those of its row.
    :param succeeded: how many of its children have, and the same of the others.
    :param running: how many are not over.
    :param weight: that of all children together.
    :param moved: how much of that is done.
    :param shown: the percentage that people have seen, None if there was none.
    """

    params: Mapping[str, Any] = {}
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    weight: float = 0.0
    moved: float = 0.0
    shown: float | None = None

    def percent(self, *, closed: bool) -> float | None:
        """Return how much is done; None while nobody knows how much there is. It is never less than was shown: children
        may come that nobody announced, and what has ended may be tried again.

        :param closed: whether no child will come that was not announced.
        """
        announced = self.params.get("weight") or 0.0
        if not closed and not announced:
            return None
        whole = self.weight if closed else max(self.weight, announced)
        return max(self.moved / whole * 100, self.shown or 0.0) if whole else None

    def words(self, *, closed: bool) -> str:
        """Return how many children are done, and what became of the others, for people; empty if there are none."""
        known = self.succeeded + self.failed + self.cancelled + self.running
        number = known if closed else max(known, self.params.get("expected") or 0)
        if not number:
            return ""
        said = f"{self.succeeded:,} of {number:,} done"
        said += f", {self.failed:,} failed" if self.failed else ""
        return said + (f", {self.cancelled:,} cancelled" if self.cancelled else "")

    def counts(self) -> dict[str, int]:
        """Return how many children there are of each kind."""
        return {
            "succeeded": self.succeeded,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "running": self.running,
        }


_decode = msgspec.msgpack.Decoder(_Live).decode


async def roll_up(groups: Sequence[str]) -> dict[str, Roll]:
    """Return how groups stand, by their ids; those that are gone are not there.

    What has ended is counted by the database, what has not is peeked in the schedule. Neither asks what a child has
    said, and how often.

    :raises django.db.Error: if the database is away.
    :raises StoreAway: if the schedule is.
    """
    names = {UUID(group): group for group in groups}
    params = {str(pk): params async for pk, params in primary().filter(pk__in=groups).values_list("pk", "params")}
    states: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    weights: dict[str, float] = defaultdict(float)
    moved: dict[str, float] = defaultdict(float)
    live: dict[str, tuple[str, float]] = {}
    # With one query, of one moment: a child that ends meanwhile is live or ended, and not both or neither. One that was
    # tried again counts as its new attempt.
    children = (
        primary()
        .filter(parent__in=names, retried_as__isnull=True)
        .annotate(live=Case(When(finished__isnull=True, then=F("pk"))))
        .order_by()
        .values_list("parent", "state", "live")
        .annotate(count=Count("pk"), weight=Sum("weight"))
    )
    async for parent, state, child, count, weight in children:
        group = names[parent]
        weights[group] += weight
        if child is None:
            states[group][state] += count
            moved[group] += weight
        else:
            states[group]["running"] += 1
            live[str(child)] = group, weight
    percents = await _percents([*params, *live])
    for child, (group, weight) in live.items():
        moved[group] += weight * (percents.get(child) or 0.0) / 100
    return {
        group: Roll(
            given,
            states[group][State.SUCCEEDED],
            states[group][State.FAILED],
            states[group][State.CANCELLED],
            states[group]["running"],
            weights[group],
            moved[group],
            percents.get(group),
        )
        for group, given in params.items()
    }


async def _percents(jobs: Sequence[str]) -> dict[str, float]:
    """Return how much is done of jobs that are not over, of those that say it."""
    known = {}
    for at in range(0, len(jobs), _AT_ONCE):
        some = jobs[at : at + _AT_ONCE]
        for job, entry in zip(some, await registry.store().peek(some), strict=True):
            try:
                percent = _decode(entry.message).snapshot.percent if entry is not None else None
            except UNREADABLE:
                percent = None
            if percent is not None:
                known[job] = min(100.0, max(0.0, percent))
    return known
