"""The recorders of celery-progress: what they are told goes to the job that the task is."""

from __future__ import annotations

from typing import Any

from ..celery_live import live

PROGRESS_STATE = "PROGRESS"


class ProgressRecorder:
    """Tells how far a task is. In one that is not tracked it writes to the result backend, as celery-progress does.

    :param task: the task, which is bound: its `self`.
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        self.current: float = 0
        self.total: float = 0
        self.description = ""

    def set_progress(self, current: float, total: float, description: str = "") -> tuple[str, dict[str, Any]]:
        """Say how much is done of how much.

        :param description: what is going on, for people; empty is as it was.
        :returns: the state and its meta as celery-progress has them.
        """
        self.current, self.total = current, total
        self.description = description or self.description
        meta = {
            "pending": False,
            "current": current,
            "total": total,
            "percent": round(float(current) / float(total) * 100, 2) if total > 0 else 0,
            "description": description,
        }
        job = live(self.task.request)
        if job is None:
            self.task.update_state(state=PROGRESS_STATE, meta=meta)
        else:
            job.report(done=float(current), total=float(total), message=description)
        return PROGRESS_STATE, meta

    def increment_progress(self, by: float = 1, description: str = "") -> None:
        """Say that so much more is done."""
        self.set_progress(self.current + by, self.total, description)


class ConsoleProgressRecorder(ProgressRecorder):
    """Tells it to the terminal."""

    def __init__(self) -> None:
        super().__init__(None)

    def set_progress(self, current: float, total: float, description: str = "") -> tuple[str, dict[str, Any]]:
        self.current, self.total = current, total
        self.description = description or self.description
        print(f"processed {current} items of {total}. {description}")  # noqa: T201 (that is what it is for)
        return PROGRESS_STATE, {}
