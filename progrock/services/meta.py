"""What a Celery result backend has of a task, as a look at the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol import State
from ..step import Look, Miss, Reading
from .results import succeeded

WAITING = "Waiting for a Celery worker."
"""Or unknown to Celery, which makes no difference between the two."""

STOPPED = "Its worker was told to stop it."

BEGUN = "A Celery worker is at it."
"""Of a task that says no more than that."""

_WHY_REVOKED = {"expired": "It expired before a worker came to it.", "terminated": STOPPED}


def look_of(meta: object, remote: str) -> Look:
    """Return what the record of a task says.

    :param meta: the decoded record; None if the backend has none.
    :param remote: the id of the task that was asked for.
    """
    if meta is None:
        return Reading(State.PENDING, message=WAITING)
    if not isinstance(meta, Mapping) or not isinstance(meta.get("status"), str):
        return Miss("nonsense", "Celery's record of it makes no sense.")
    if meta.get("task_id", remote) != remote:
        return Miss("nonsense", "Celery's record is that of another task.")
    said = meta.get("result")
    match meta["status"]:
        case "PENDING":
            return Reading(State.PENDING, message=WAITING)
        case "RECEIVED":
            return Reading(State.PENDING, message="A Celery worker has it, and will begin.")
        case "STARTED":
            # With it come a host name and a process id, which are nobody's business.
            return Reading(State.RUNNING, message=BEGUN)
        case "SUCCESS":
            return succeeded(said)
        case "FAILURE":
            return Reading(State.FAILED, message=_failure(said))
        case "RETRY":
            return Reading(State.RUNNING, message=f"It is tried again: {_failure(said) or 'it failed.'}")
        case "REVOKED":
            why = _failure(said).partition(": ")[2]
            return Reading(State.CANCELLED, message=_WHY_REVOKED.get(why, "It was revoked."))
    # PROGRESS, or what else a task calls its own states.
    return _progress(said) if isinstance(said, Mapping) else Reading(State.RUNNING, message=BEGUN)


def _progress(said: Mapping[Any, Any]) -> Reading:
    """Return how far a task is, in the words of celery-progress, or of the examples that most have begun with."""
    percent = _number(said, "percent", "progress")
    done, total = _number(said, "current", "done"), _number(said, "total")
    if percent is None and done is not None and total:
        percent = done / total * 100
    words = [said.get(key) for key in ("description", "message", "status")]
    message = next((each for each in words if isinstance(each, str) and each), BEGUN)
    title = said.get("title")
    return Reading(State.RUNNING, percent, message, title if isinstance(title, str) else "")


def _number(said: Mapping[Any, Any], *keys: str) -> float | None:
    for key in keys:
        value = said.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return None
    return None


def _failure(said: object) -> str:
    """Return the type and the words of an exception, and nothing of its traceback."""
    if isinstance(said, BaseException):
        return _named(type(said).__name__, str(said))
    if not isinstance(said, Mapping):
        return ""
    kind, words = said.get("exc_type"), said.get("exc_message") or ""
    if isinstance(words, list | tuple):
        words = ", ".join(map(str, words))
    # As text a class is <class 'module.Name'>.
    name = kind.rstrip("'>").rpartition(".")[2].rpartition("'")[2] if isinstance(kind, str) else ""
    return _named(name, str(words))


def _named(name: str, words: str) -> str:
    return f"{name}: {words}" if name and words else name or words
