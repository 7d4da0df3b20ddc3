"""A group as a block of code: what it starts or tracks in there are its children."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from .. import jobs, push
from ..exceptions import Cancelled, Invalid
from ..protocol import Snapshot
from ..push import Tracked
from ..push.rows import new_row

SERVICE = "group"
"""The service that they are of; the settings have it by themselves."""
_PHASES_MOST = 100
_CHILDREN_MOST = 1_000_000


class Group:
    """A job that is made of jobs. Use it as a context manager, sync or async; then it is one."""

    def __init__(self, tracked: Tracked, phases: Mapping[str, float]) -> None:
        self._tracked = tracked
        self._phases = phases

    @property
    def id(self) -> str:
        """The group's id: that of a job, and the `parent` of its children."""
        return self._tracked.id

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked for its end, and so for that of its children."""
        return self._tracked.cancelled

    def track(self, title: str, *, weight: float | None = None, **more: Any) -> Tracked:
        """Track what a block of code does, as a child: `with group.track("Download") as job`, or `async with`.

        :param title: what people see; that of a phase makes it that phase.
        :param weight: how much it counts, 0 or more; without it that of its phase, or else 1.
        :param more: what :func:`progrock.track` takes.
        :raises Cancelled: if the group's end was asked for; it ends the group's block, and stays in it.
        :raises Invalid: if a parameter cannot be one.
        """
        self._go_on()
        return push.track(title, owner=None, parent=self.id, weight=self._weight(title, weight), **more)

    def group(self, title: str, *, weight: float | None = None, **more: Any) -> Group:
        """Make a group that is a child of this one.

        :param more: what :func:`progrock.group` takes; otherwise as :meth:`track`.
        :raises Cancelled: as :meth:`track` does.
        :raises Invalid: if a parameter cannot be one.
        """
        self._go_on()
        return group(title, owner=None, parent=self.id, weight=self._weight(title, weight), **more)

    def start(
        self,
        service: str | None = None,
        params: dict[str, Any] | None = None,
        *,
        weight: float | None = None,
        **more: Any,
    ) -> Snapshot:
        """Start a job on a remote service, as a child.

        :param service: its name, which may be that of a phase; None is the default one.
        :param params: what the service takes.
        :param weight: how much it counts, 0 or more; without it that of its phase, or else 1.
        :param more: what :func:`progrock.jobs.start` takes.
        :returns: the child's snapshot.
        :raises Cancelled: as :meth:`track` does.
        :raises Refused: as :func:`progrock.jobs.start` does.
        """
        self._go_on()
        weight = self._weight(service, weight)
        return jobs.start(service, params, owner=None, parent=self.id, weight=weight, **more)

    async def astart(
        self,
        service: str | None = None,
        params: dict[str, Any] | None = None,
        *,
        weight: float | None = None,
        **more: Any,
    ) -> Snapshot:
        """Do the same where an event loop runs."""
        self._go_on()
        weight = self._weight(service, weight)
        return await jobs.astart(service, params, owner=None, parent=self.id, weight=weight, **more)

    def log(self, level: str, text: str, *, data: Any = None) -> None:
        """Add a line to the group's own journal, as :meth:`progrock.Tracked.log` does."""
        self._tracked.log(level, text, data=data)

    def part(self, data: Any, text: str = "") -> None:
        """Add a part of the result to it, as :meth:`progrock.Tracked.part` does."""
        self._tracked.part(data, text)

    def fail(self, message: str) -> None:
        """Have it fail once all of its children are over, whatever becomes of them.

        :param message: why, for people.
        """
        self._tracked.fail(message)

    def __enter__(self) -> Group:
        self._tracked.__enter__()
        return self

    async def __aenter__(self) -> Group:
        await self._tracked.__aenter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._tracked.__exit__(kind, error, trace)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return await self._tracked.__aexit__(kind, error, trace)

    def _go_on(self) -> None:
        if self.cancelled:
            raise Cancelled("The end of this group was asked for.")

    def _weight(self, name: str | None, weight: float | None) -> float:
        return self._phases.get(name or "", 1.0) if weight is None else weight


def group(
    title: str,
    *,
    owner: Any,
    phases: Mapping[str, float] | None = None,
    expected: int | None = None,
    failures: int | None = 0,
    job: str | uuid.UUID | None = None,
    key: str | None = None,
    deadline: int | None = None,
    tell: Sequence[Mapping[str, Any]] = (),
    parent: str | uuid.UUID | None = None,
    weight: float = 1.0,
) -> Group:
    """Group jobs: `with group("Nightly", owner=user) as group`, or `async with`. It is a job, and they are its
    children.

    The group ends when the block has been left and all of its children are over: as succeeded, or as failed if too many
    of them failed, or the block raised. Its percentage is that of its children, each by its weight; while the block
    goes on only if `phases` or `expected` say how much there is. Whoever cancels the group cancels its children. A
    process that dies in the block is noticed: once its children are over the group fails, as `lost`.

    :param title: what people see.
    :param owner: whose job it is, and its children: a user, a request, or an owner as text; None is its parent's owner.
    :param phases: the children that will come, by their titles, and how much each counts, above 0.
    :param expected: how many children will come; without it, as many as there are phases.
    :param failures: how many of its children may fail without its being a failure; None is any number.
    :param job: its id: a UUID, or any name, of which one is made; a group that is there is gone on with.
    :param key: the caller's own name for it; the same owner's same key is the same job.
    :param deadline: milliseconds that it may take; then its children are cancelled.
    :param tell: who is told when it ends, as :func:`progrock.jobs.start` takes it.
    :param parent: the group that it is a child of.
    :param weight: how much it counts there, 0 or more.
    :raises Invalid: if a parameter cannot be one.
    :raises NotFound: when the block is entered, if the id, or the parent's, is that of somebody else's job.
    :raises Unavailable: when the block is entered, if the database is away.
    """
    named = dict(phases or {})
    row = new_row(title, owner=owner, job=job, key=key, deadline=deadline, tell=tell, parent=parent, weight=weight)
    row.service, row.params = SERVICE, _params(named, expected, failures)
    return Group(Tracked(row, None, interrupt=True), named)


def _params(phases: Mapping[str, float], expected: int | None, failures: int | None) -> dict[str, Any]:
    """Return what is kept of a group's own.

    :raises Invalid: if a parameter cannot be one.
    """
    if len(phases) > _PHASES_MOST:
        raise Invalid(f"phases: expected at most {_PHASES_MOST}, got {len(phases)}.")
    for name, each in phases.items():
        number = isinstance(each, int | float) and not isinstance(each, bool)
        if not (isinstance(name, str) and number and math.isfinite(each) and each > 0):
            raise Invalid(f"phases: expected a weight above 0 for each title, got {each!a:.40} for {name!a:.40}.")
    for name, count in (("expected", expected), ("failures", failures)):
        if count is not None and not (type(count) is int and 0 <= count <= _CHILDREN_MOST):
            raise Invalid(f"{name}: expected a number from 0 to {_CHILDREN_MOST}, got {count!a:.80}.")
    whole = float(sum(phases.values()) or expected or 0)
    return {"weight": whole, "expected": expected or len(phases), "failures": failures}
