"""Tasks of Django's task framework as jobs: those of `django.tasks`, or of the package django-tasks before Django 6."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.utils.module_loading import import_string
from msgspec.structs import replace

from ..exceptions import InvalidParams
from ..protocol import State
from ..step import Look, Miss, Reading
from .base import File, Order, Service, Started
from .results import succeeded
from .threads import Threads

_FRAMEWORKS = ("django.tasks.base", "django_tasks.base")


class TasksService(Service):
    """One task of Django's task framework, whichever backend runs it.

    The framework has no word for how far a task is, none for an end that somebody wants, and none for a task that was
    enqueued, should its id be lost on the way back: what becomes of that job is the policy's `unknown_start` to say.

    :param task: dotted path of the task; its keyword arguments are the job's `params`.
    :param title: what jobs are called; by default, after the task.
    :param using: what `task.using()` takes: `queue_name`, `priority`, `backend`.
    :param timeout: milliseconds for a whole call to the backend.
    :param connections: how many calls may be on the way at once.
    :raises ValueError: naming what was expected and what came.
    """

    def __init__(
        self,
        task: str,
        *,
        title: str = "",
        using: Mapping[str, Any] | None = None,
        timeout: int = 10_000,
        connections: int = 4,
    ) -> None:
        found: Any = import_string(task)
        framework = next((each.__module__ for each in type(found).__mro__ if each.__module__ in _FRAMEWORKS), None)
        if framework is None:
            raise ValueError(f"task: expected the dotted path of a task, as @task makes them, got {task!r}.")
        self._raised = import_module(framework.replace(".base", ".exceptions"))
        try:
            self._task = found.using(**(using or {}))
            backend = self._task.get_backend()
        except Exception as error:
            raise ValueError(f"using: {error}") from None
        if not backend.supports_get_result:
            raise ValueError(f"task: expected a backend that can be asked for results, got {type(backend).__name__}.")
        self._title = title or self._task.name.replace("_", " ").strip().capitalize()
        nothing = lambda *_: None  # noqa: E731 (there is no link: the backend has its own)
        self._backend = Threads("The tasks backend", nothing, nothing, nothing, most=connections, timeout=timeout)

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        context = (None,) if self._task.takes_context else ()
        try:
            inspect.signature(self._task.func).bind(*context, **params)
        except TypeError as error:
            raise InvalidParams(f"params: {error}.") from None
        return params

    def title(self, params: dict[str, Any]) -> str:
        return self._title

    async def start(self, order: Order) -> Started | Miss:
        result = await self._backend.call(lambda _: self._task.enqueue(**order.params))
        return result if isinstance(result, Miss) else Started(str(result.id), reading_of(result))

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        looks = await self._backend.call(lambda _: [self._look(remote) for remote in remotes])
        return [looks] * len(remotes) if isinstance(looks, Miss) else looks

    async def cancel(self, remote: str) -> Look:
        (look,) = await self.poll([remote])
        if isinstance(look, Miss) or look.state.complete:
            return look
        return replace(look, message="It cannot be stopped: it is waited for.")

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Miss:
        return Miss("vanished", "A task leaves no file.")

    async def aclose(self) -> None:
        await self._backend.aclose()

    def _look(self, remote: str) -> Look:
        try:
            return reading_of(self._task.get_result(remote))
        except self._raised.TaskResultDoesNotExist:
            return Miss("vanished", "The tasks backend does not know it any more.")
        except (self._raised.TaskResultMismatch, ImportError, SuspiciousOperation):
            return Miss("nonsense", "The tasks backend has it as a task of another kind.")


def reading_of(result: Any) -> Reading:
    """Return what a task's result says. Words that are not known are those of a task that goes on."""
    match str(result.status):
        case "READY" | "NEW":
            return Reading(State.PENDING, message="Waiting for a worker.")
        case "SUCCESSFUL" | "SUCCEEDED":
            return succeeded(result.return_value)
        case "FAILED":
            return Reading(State.FAILED, message=_failure(result.errors[-1]) if result.errors else "")
    return Reading(State.RUNNING, message="A worker is at it.")


def _failure(error: Any) -> str:
    """Return the type and the words of an exception, of which there is only a traceback, to be kept from people."""
    path = error.exception_class_path
    name: str = path.rpartition(".")[2]
    for line in reversed(error.traceback.splitlines()):
        kind, _, words = line.partition(": ")
        if kind in (path, name):
            return f"{name}: {words}" if words else name
    return name
