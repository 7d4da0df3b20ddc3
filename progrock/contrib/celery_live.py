"""The Celery tasks that this process is at: their jobs, and what their classes do for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery.exceptions import Ignore

from ..push import Tracked
from ..services.meta import BEGUN, look_of
from ..step import Reading

LIVE: dict[str, Tracked] = {}
"""The jobs that this process is at, by the ids of their tasks."""


def live(request: Any) -> Tracked | None:
    """Return the job that a task is which this process is at, None if it is not tracked.

    :param request: of the task, as Celery has it.
    """
    return LIVE.get(str(getattr(request, "id", None)))


_extended: set[type] = set()


def extend(kind: Any) -> None:
    """Have tasks of a class not begin whose jobs were cancelled while they waited, and tell what they tell Celery."""
    if kind in _extended:
        return
    _extended.add(kind)
    before_start, update_state = kind.before_start, kind.update_state

    def before(self: Any, task_id: str, args: Any, kwargs: Any) -> None:
        job = LIVE.get(task_id)
        if job is not None and job.cancelled and not self.request.is_eager:
            self.backend.mark_as_revoked(task_id, "cancelled", request=self.request, store_result=True)
            job.stop()
            raise Ignore
        before_start(self, task_id, args, kwargs)

    def update(self: Any, task_id: str | None = None, state: str | None = None, meta: Any = None, **more: Any) -> None:
        update_state(self, task_id, state, meta, **more)
        job = LIVE.get(task_id or str(self.request.id))
        if job is not None and isinstance(meta, Mapping):
            _tell(job, meta)

    kind.before_start, kind.update_state = before, update


def _tell(job: Tracked, meta: Mapping[Any, Any]) -> None:
    """Tell what a task has told Celery, in the words of celery-progress or those of most examples."""
    look = look_of({"status": "PROGRESS", "result": meta}, "")
    if not isinstance(look, Reading):
        return
    message = None if look.message == BEGUN else look.message
    done, total = meta.get("current"), meta.get("total")
    if isinstance(done, int | float) and isinstance(total, int | float):
        job.report(done, total=total, message=message, title=look.title or None)
    else:
        percent = look.percent if isinstance(look.percent, int | float) else None
        job.report(percent=percent, message=message, title=look.title or None)
