"""What a Celery result backend has of a task, as a look at the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..protocol import State
from ..step import Look, Miss, Reading, deep

RESULT_MOST = 1 << 20
"""Bytes of JSON that a result may have: it is kept in the job's row, and told to everybody who watches."""
WAITING = "Waiting for a Celery worker."
"""Or unknown to Celery, which makes no difference between the two."""

_BEGUN = "A Celery worker is at it."

_WHY_REVOKED = {"expired": "It expired before a worker came to it.", "terminated": "Its worker was told to stop it."}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


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
            return Reading(State.RUNNING, message=_BEGUN)
        case "SUCCESS":
            return _succeeded(said)
        case "FAILURE":
            return Reading(State.FAILED, message=_failure(said))
        case "RETRY":
            return Reading(State.RUNNING, message=f"It is tried again: {_failure(said) or 'it failed.'}")
        case "REVOKED":
            why = _failure(said).partition(": ")[2]
            return Reading(State.CANCELLED, message=_WHY_REVOKED.get(why, "It was revoked."))
    # PROGRESS, or what else a task calls its own states.
    return _progress(said) if isinstance(said, Mapping) else Reading(State.RUNNING, message=_BEGUN)


def _progress(said: Mapping[Any, Any]) -> Reading:
    """Return how far a task is, in the words of celery-progress, or of the examples that most have begun with."""
    percent = _number(said, "percent", "progress")
    done, total = _number(said, "current", "done"), _number(said, "total")
    if percent is None and done is not None and total:
        percent = done / total * 100
    words = [said.get(key) for key in ("description", "message", "status")]
    message = next((each for each in words if isinstance(each, str) and each), _BEGUN)
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


def _succeeded(result: object) -> Reading:
    """Return the end with its result, if that can be kept; without it, it is an end all the same."""
    if result is None:
        return Reading(State.SUCCEEDED)
    try:
        text = _encode(result)
        kept = _decode(text) if len(text) <= RESULT_MOST else None
        if kept is not None and not deep(kept):
            return Reading(State.SUCCEEDED, result=kept)
        return Reading(State.SUCCEEDED, message="Done, with a result that is too large to be kept.")
    except (TypeError, ValueError, RecursionError):
        return Reading(State.SUCCEEDED, message="Done, with a result that is no JSON, and not kept.")


def _failure(said: object) -> str:
    """Return the type and the words of an exception, and nothing of its traceback."""
    if isinstance(said, BaseException):
        return _named(type(said).__name__, str(said))
    if not isinstance(said, Mapping):
        return ""
    kind, words = said.get("exc_type"), said.get("exc_message", "")
    if isinstance(words, list | tuple):
        words = ", ".join(map(str, words))
    # As text a class is <class 'module.Name'>.
    name = kind.rstrip("'>").rpartition(".")[2].rpartition("'")[2] if isinstance(kind, str) else ""
    return _named(name, str(words))


def _named(name: str, words: str) -> str:
    return f"{name}: {words}" if name and words else name or words
