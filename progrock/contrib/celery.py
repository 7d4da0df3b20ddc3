"""A Celery app's own tasks as jobs: whoever queues one sees it wait, run, be tried again, and end."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Any

from celery import Celery, current_task, signals
from celery.utils.dispatch import Signal

from .owned import Call, owned_by, owned_by_request

if TYPE_CHECKING:
    from ..push import Tracked

__all__ = ["HEADER", "current", "owned_by", "owned_by_request", "track_tasks"]

HEADER = "progrock"
"""Of a task's message: for whom it is, and what else was said of it. A task without is not tracked."""


def track_tasks(
    app: Celery,
    *,
    owner: Call | None = None,
    title: Call | None = None,
    names: Collection[str] | None = None,
    interrupt: bool = False,
) -> None:
    """Have the tasks of an app be jobs, from the moment they are queued. To be called where the app is made.

    Whose job a task is, is what its message's header says, then what was said around `.delay` with
    :func:`owned_by` or by the middleware, then whose the task is that queues it, and then what `owner` says. A task
    that is nobody's is not tracked.

    :param owner: called with a task's name, args and kwargs, returns a user, an owner as text, or None.
    :param title: called with the same, returns what people see; without, it is made of the task's name.
    :param names: of the tasks that are tracked; None is all but Celery's own.
    :param interrupt: whether what a task reports of its job raises :class:`~progrock.exceptions.Cancelled` once
        somebody has asked for its end.
    """

    @cache
    def tracking() -> Any:
        # An app is made before Django is set up, and what is done for its tasks needs models.
        from .celery_tracking import Tracking

        return Tracking(app, owner, title, names, interrupt)

    def connect(signal: Signal, name: str) -> None:
        def receive(**said: Any) -> None:
            getattr(tracking(), name)(**said)

        signal.connect(receive, weak=False, dispatch_uid=f"progrock:{id(app)}:{name}")

    connect(signals.before_task_publish, "before_publish")
    connect(signals.after_task_publish, "after_publish")
    connect(signals.worker_init, "prepare")
    connect(signals.task_prerun, "begin")
    connect(signals.task_postrun, "end")
    connect(signals.task_failure, "lost")
    connect(signals.task_revoked, "revoked")
    connect(signals.worker_process_shutdown, "finish")


def current() -> Tracked:
    """Return the job that the current task is; in one that is not tracked, a job of which nobody hears."""
    from ..push import track
    from .celery_live import live

    return live(getattr(current_task, "request", None)) or track("", owner="nobody")
