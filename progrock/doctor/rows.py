"""Looks at the database: whether it has all tables, and whether its unfinished rows are in the schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model, QuerySet
from django.utils import timezone

from .. import outbox
from ..aside import Aside
from ..delay import DelayStore
from ..models import Job, primary
from .finding import Finding, error, ok, warning

SETTLED = timedelta(seconds=10)
"""How old a row must be that it surely has been scheduled."""
WAITED = timedelta(minutes=10)
"""How long a delivery may wait before somebody should know."""
MOST = 5_000
"""How many rows are looked at."""
PAGE = 500
_RECONCILE = "See that a worker and a scheduler run: they mend it within a minute. At once: manage.py reconcile"

R = TypeVar("R")
M = TypeVar("M", bound=Model)


async def migrations(aside: Aside) -> list[Finding]:
    """Look whether all migrations are applied.

    :raises DatabaseError: if the database does not answer.
    """
    missing = await aside.run(_closing(_unapplied))
    if missing:
        says = f"{len(missing)} are not applied, the first is {missing[0]}."
        return [error("migrations", says, "Apply them: manage.py migrate")]
    return [ok("migrations", "All are applied.")]


async def jobs(aside: Aside, store: DelayStore) -> list[Finding]:
    """Look whether unfinished jobs are in the schedule: the first of them, as many as are looked at."""
    rows = primary().filter(finished__isnull=True, created__lt=timezone.now() - SETTLED)
    looked, lost = await _without_entry(aside, store, rows)
    if lost:
        return [error("jobs", f"{lost} of {looked} unfinished ones have no entry, and stand still.", _RECONCILE)]
    return [ok("jobs", f"Each of {looked} unfinished ones has its entry.")]


async def deliveries(aside: Aside, store: DelayStore | None) -> list[Finding]:
    """Look for deliveries that wait for long.

    :param store: where their entries are; None if that cannot be seen.
    """
    rows = outbox.pending("").filter(created__lt=timezone.now() - WAITED)
    if store is None:
        looked, lost = len(await aside.run(_closing(lambda: _keys(rows)))), 0
    else:
        looked, lost = await _without_entry(aside, store, rows)
    if lost:
        return [error("deliveries", f"{lost} of {looked} that are late have no entry.", _RECONCILE)]
    if looked:
        says = f"{looked} wait for more than {WAITED.seconds // 60} minutes."
        return [warning("deliveries", says, "See in the admin what came of their last try: who is told may be away.")]
    return [ok("deliveries", f"None waits for more than {WAITED.seconds // 60} minutes.")]


async def _without_entry(aside: Aside, store: DelayStore, rows: QuerySet[M]) -> tuple[int, int]:
    """Return how many of these rows were looked at, and how many of those have no entry."""
    keys = await aside.run(_closing(lambda: _keys(rows)))
    gone: list[str] = []
    for at in range(0, len(keys), PAGE):
        some = keys[at : at + PAGE]
        entries = await store.peek(some)
        gone += [key for key, entry in zip(some, entries, strict=True) if entry is None or entry.dead]
    # Some may have ended since: their rows were written before their entries were given up.
    lost = await aside.run(_closing(lambda: _still(rows, gone))) if gone else 0
    return len(keys), lost


def _keys(rows: QuerySet[M]) -> Sequence[str]:
    return [str(key) for key in rows.order_by("pk").values_list("pk", flat=True)[:MOST]]


def _still(rows: QuerySet[M], keys: Sequence[str]) -> int:
    return sum(rows.filter(pk__in=keys[at : at + PAGE]).count() for at in range(0, len(keys), PAGE))


def _unapplied() -> list[str]:
    executor = MigrationExecutor(connections[router.db_for_write(Job)])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _closing(work: Callable[[], R]) -> Callable[[], R]:
    """Return the same, which leaves no connection of its thread open."""

    def run() -> R:
        try:
            return work()
        finally:
            connections.close_all()

    return run
