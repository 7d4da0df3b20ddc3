"""Tasks of Django's framework as jobs, whoever queues one: of `django.tasks`, or of django-tasks before Django 6."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextvars import ContextVar, copy_context
from importlib import import_module
from typing import Any

from .. import push
from ..aside import anywhere
from ..delay import trouble
from ..exceptions import Cancelled
from ..models import Job, primary
from ..protocol import State
from ..push.rows import SERVICE
from ..services.tasks import reading_of
from .owned import Call, Terms, owned_by, owned_by_request, terms_of

__all__ = ["current", "owned_by", "owned_by_request", "track_tasks"]

logger = logging.getLogger(__name__)

_SIGNALS = ("django.tasks.signals", "django_tasks.signals")


class _Doing:
    """A task that this code is at."""

    def __init__(self, task: str, before: _Doing | None, interrupt: bool) -> None:
        self.task = task
        self.before = before
        self.owner = ""
        self.job: push.Tracked | None = None
        self._interrupt = interrupt

    def begin(self) -> push.Tracked | None:
        """Return the task's job, if it is one: its row may come a moment after its worker."""
        if self.job is None:
            row: Job | None = primary().filter(pk=push.id_of(self.task), service=SERVICE).first()
            if row is not None:
                self.owner = row.owner
                self.job = push.track(row.title, owner=row.owner, job=row.pk, interrupt=self._interrupt).__enter__()
        return self.job


_doing: ContextVar[_Doing | None] = ContextVar("progrock.tasks", default=None)


def current() -> push.Tracked:
    """Return the job that the current task is; in one that is not tracked, a job of which nobody hears."""
    doing = _doing.get()
    job = doing and doing.job
    if doing is not None and job is None:
        try:
            job = anywhere(doing.begin)
        except Exception as error:
            trouble.say(logger, "The task %s is not tracked: %r", doing.task, error)
    return job or push.track("", owner="nobody")


def track_tasks(
    *,
    owner: Call | None = None,
    title: Call | None = None,
    names: Collection[str] | None = None,
    interrupt: bool = False,
) -> None:
    """Have tasks be jobs, from the moment they are queued. To be called once, in an app's `ready`.

    Whose job a task is, is what was said around `.enqueue` with :func:`owned_by` or by the middleware, then whose the
    task is that queues it, and then what `owner` says. A task that is nobody's is not tracked.

    :param owner: called with a task's path, args and kwargs, returns a user, an owner as text, or None.
    :param title: called with the same, returns what people see; without, it is made of the task's name.
    :param names: the paths of the tasks that are tracked, as `studio.tasks.press`; None is all.
    :param interrupt: whether what a task reports of its job raises :class:`~progrock.exceptions.Cancelled` once
        somebody has asked for its end.
    """
    tracking = _Tracking(owner, title, None if names is None else frozenset(names), interrupt)
    for module in _SIGNALS:
        try:
            signals = import_module(module)
        except ImportError:
            continue
        for name in ("task_enqueued", "task_started", "task_finished"):
            getattr(signals, name).connect(getattr(tracking, name), weak=False, dispatch_uid=f"progrock:{name}")


class _Tracking:
    """What the framework's signals do. Nothing here fails a task, but that it was cancelled before it began."""

    def __init__(self, owner: Call | None, title: Call | None, names: frozenset[str] | None, interrupt: bool) -> None:
        self._owner = owner
        self._title = title
        self._names = names
        self._interrupt = interrupt

    def task_enqueued(self, sender: Any, task_result: Any, **_: Any) -> None:
        try:
            # A view may be async, and who asks it only be known to the database.
            context = copy_context()
            asked = anywhere(lambda: context.run(self._asked, task_result))
            if asked is not None:
                more: Any = {"job": task_result.id, "deadline": asked.deadline, "tell": asked.tell}
                push.queued(asked.title, owner=asked.owner, **more)
        except Exception as error:
            trouble.say(logger, "The task %s is not tracked: %r", task_result.id, error)

    def _asked(self, result: Any) -> Terms | None:
        """Return what is said of a task that was queued, None if it is not tracked."""
        path = result.task.module_path
        if self._names is not None and path not in self._names:
            return None
        queued_by = _doing.get()
        return terms_of(
            (path, tuple(result.args), result.kwargs),
            inherited=queued_by.owner if queued_by else "",
            owner=self._owner,
            title=self._title,
        )

    def task_started(self, sender: Any, task_result: Any, **_: Any) -> None:
        doing = _Doing(task_result.id, _doing.get(), self._interrupt)
        _doing.set(doing)
        try:
            job = anywhere(doing.begin)
        except Exception as error:
            trouble.say(logger, "The task %s is not tracked: %r", task_result.id, error)
            return
        if job is not None and job.cancelled:
            raise Cancelled("Its end was asked for before it began.")

    def task_finished(self, sender: Any, task_result: Any, **_: Any) -> None:
        doing = _doing.get()
        if doing is None or doing.task != task_result.id:
            return
        _doing.set(doing.before)
        try:
            job = anywhere(doing.begin)
            if job is not None:
                _end(job, task_result)
        except Exception as error:
            trouble.say(logger, "The end of the task %s is not told: %r", task_result.id, error)


def _end(job: push.Tracked, result: Any) -> None:
    reading = reading_of(result)
    raised = result.errors[-1].exception_class_path if result.errors else ""
    if reading.state is State.SUCCEEDED:
        job.complete(reading.result, reading.message)
    elif raised == f"{Cancelled.__module__}.{Cancelled.__qualname__}" and job.cancelled:
        job.stop()
    else:
        job.fail(reading.message or "It failed.")
    job.__exit__(None, None, None)
