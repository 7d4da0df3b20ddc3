"""How a job stands, in the JSON that celery_progress.js reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import registry
from ...caller import Caller
from ...delay import StoreAway
from ...inbox import Said
from ...protocol import Snapshot, State
from ...push import id_of
from ..celery_words import IGNORED, retry_of

_FULL = {"pending": False, "current": 100, "total": 100, "percent": 100}


async def progress_of(task: str, caller: Caller) -> dict[str, Any]:
    """Return how a task stands.

    :param task: its id.
    :param caller: who asks.
    :returns: what celery_progress.js takes: `state`, `complete`, `success`, `progress`, and `result` at the end.
    :raises NotFound: if no job is tracked under this id, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    snapshot = await caller.get(id_of(task))
    of_interest = not snapshot.complete or snapshot.state is State.CANCELLED
    (said,) = await _said([snapshot.job]) if of_interest else [Said()]
    return told(snapshot, said)


async def group_progress_of(tasks: Sequence[str], caller: Caller) -> dict[str, Any]:
    """Return how the tasks of a group stand together.

    :param tasks: their ids, at least one.
    :raises NotFound: if one of them is not tracked, or somebody else's.
    :raises Unavailable: if the database is away.
    """
    snapshots = await caller.get_all([id_of(task) for task in tasks])
    parts = list(map(told, snapshots, await _said([each.job for each in snapshots])))
    total = sum(each["progress"]["total"] for each in parts)
    current = sum(each["progress"]["current"] for each in parts)
    progress = {"total": total, "current": current, "percent": _rounded(current, total)}
    return {
        "complete": all(each["complete"] for each in parts),
        "success": all(each["success"] for each in parts),
        "progress": progress,
    }


def told(snapshot: Snapshot, said: Said) -> dict[str, Any]:
    """Return what celery_progress.js takes.

    :param said: what the task has said itself, which counts, and may wait; a snapshot has only the percentage.
    """
    match snapshot.state:
        case State.SUCCEEDED:
            return _ended("SUCCESS", True, snapshot.result)
        case State.FAILED:
            return _ended("FAILURE", False, snapshot.error.message if snapshot.error else "")
        case State.CANCELLED if said.end and said.end.message == IGNORED:
            return _ended("IGNORED", None, IGNORED)
        case State.CANCELLED:
            return _ended("REVOKED", False, snapshot.message or "Task revoked")
    report = said.report
    if said.waiting or snapshot.state is State.PENDING:
        again = retry_of(report.message or "")
        if again:
            seconds, why = again
            return _ended("RETRY", False, {"next_retry_seconds": seconds, "message": why})
        return _going("PENDING", {**_nothing(), "pending": True})
    if report.total is not None:
        done = report.done or 0
        counted = {"current": _short(done), "total": _short(report.total), "percent": _rounded(done, report.total)}
    elif snapshot.percent is not None:
        percent = round(snapshot.percent, 2)
        counted = {"current": percent, "total": 100, "percent": percent}
    else:
        return _going("STARTED", _nothing())
    return _going("PROGRESS", {"pending": False, **counted, "description": report.message or ""})


async def _said(keys: Sequence[str]) -> list[Said]:
    try:
        return [said or Said() for said in await registry.inbox().read(keys)]
    except StoreAway:
        return [Said()] * len(keys)


def _going(state: str, progress: dict[str, Any]) -> dict[str, Any]:
    return {"state": state, "complete": False, "success": None, "progress": progress}


def _ended(state: str, success: bool | None, result: Any) -> dict[str, Any]:
    return {"state": state, "complete": True, "success": success, "progress": dict(_FULL), "result": result}


def _nothing() -> dict[str, Any]:
    return {"pending": False, "current": 0, "total": 100, "percent": 0}


def _rounded(done: float, total: float) -> float:
    return float(round(done / total * 100, 2)) if total > 0 else 0.0


def _short(number: float) -> float:
    """Return a whole number as one, which people read as "3 of 10"."""
    return int(number) if float(number).is_integer() else number
