"""Tasks of Django's task framework as others have them, and a backend that runs none of them by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

from django_tasks import TaskContext, TaskResult, TaskResultStatus, task
from django_tasks.backends.dummy import DummyBackend
from django_tasks.base import TaskError


class Board(DummyBackend):
    """Enqueued tasks hang on it until a test says what became of them, which may be asked from any thread."""

    supports_get_result = True
    hung: ClassVar[list[TaskResult[Any]]] = []

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.results = self.hung


def became(task_id: str, status: TaskResultStatus, value: Any = None, *errors: TaskError) -> None:
    """Say what became of a task."""
    (result,) = [each for each in Board.hung if each.id == task_id]
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "_return_value", value)
    result.errors.extend(errors)


@task
def press(album: int, copies: int = 1) -> dict[str, int]:
    return {"album": album, "copies": copies}


@task(takes_context=True)
def press_again(context: TaskContext, album: int) -> int:
    return album


@task
def scratch() -> None:
    raise ValueError("The record is scratched.")


@task
def wait_for(path: str) -> str:
    """Waits until there is such a file."""
    end = time.monotonic() + 30
    while not Path(path).exists():
        assert time.monotonic() < end, f"expected {path}"
        time.sleep(0.02)
    return "Played"
