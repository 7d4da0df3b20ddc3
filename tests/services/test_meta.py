"""What Celery's records of tasks mean: all that may stand in them, of which little comes from a real worker."""

from __future__ import annotations

from typing import Any

import pytest

from progrock.protocol import State
from progrock.services.answers import sane
from progrock.services.meta import look_of
from progrock.step import Miss, Reading

BEGUN = "A Celery worker is at it."


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("status", "said", "reading"),
    [
        ("PENDING", None, Reading(State.PENDING, message="Waiting for a Celery worker.")),
        ("RECEIVED", None, Reading(State.PENDING, message="A Celery worker has it, and will begin.")),
        ("STARTED", {"pid": 7, "hostname": "celery@secret"}, Reading(State.RUNNING, message=BEGUN)),
        ("SUCCESS", None, Reading(State.SUCCEEDED)),
        ("SUCCESS", [1, {"a": None}], Reading(State.SUCCEEDED, result=[1, {"a": None}])),
        ("SUCCESS", object(), Reading(State.SUCCEEDED, message="Done, with a result that is no JSON, and not kept.")),
        ("SUCCESS", deep(200), Reading(State.SUCCEEDED, message="Done, with a result that is too large to be kept.")),
        ("FAILURE", KeyError("album"), Reading(State.FAILED, message="KeyError: 'album'")),
        ("FAILURE", ValueError(), Reading(State.FAILED, message="ValueError")),
        ("FAILURE", {"exc_type": "A.Inner", "exc_message": []}, Reading(State.FAILED, message="Inner")),
        (
            "FAILURE",  # as an old recorder of celery-progress has it
            {"exc_type": "<class 'shop.NoSuchAlbum'>", "exc_message": "7", "percent": 100.0},
            Reading(State.FAILED, message="NoSuchAlbum: 7"),
        ),
        ("FAILURE", {"exc_type": 7, "exc_message": None}, Reading(State.FAILED)),
        ("FAILURE", "of another kind", Reading(State.FAILED)),
        ("RETRY", None, Reading(State.RUNNING, message="It is tried again: it failed.")),
        ("REVOKED", {"exc_type": "TaskRevokedError", "exc_message": ["on a whim"]}, None),
        ("PROGRESS", {"percent": 20, "description": ""}, Reading(State.RUNNING, 20.0, BEGUN)),
        ("PROGRESS", {"progress": 30}, Reading(State.RUNNING, 30.0, BEGUN)),
        ("PROGRESS", {"done": 1, "total": 8, "message": "One"}, Reading(State.RUNNING, 12.5, "One")),
        ("PROGRESS", {"current": 1, "total": 0}, Reading(State.RUNNING, message=BEGUN)),
        ("PROGRESS", {"current": "1", "total": True, "status": 7}, Reading(State.RUNNING, message=BEGUN)),
        ("PROGRESS", {"percent": 10**400, "title": "Red"}, Reading(State.RUNNING, None, BEGUN, "Red")),
        ("MIXING", "louder", Reading(State.RUNNING, message=BEGUN)),
    ],
)
def test_a_record_is_read(status: str, said: object, reading: Reading | None) -> None:
    look = look_of({"status": status, "result": said, "task_id": "a"}, "a")
    assert look == (reading or Reading(State.CANCELLED, message="It was revoked."))
    assert sane(look) == look


@pytest.mark.parametrize("record", [[], "SUCCESS", {}, {"status": None}, {"status": "SUCCESS", "task_id": "b"}])
def test_a_record_that_is_none_of_this_task_is_nonsense(record: object) -> None:
    look = look_of(record, "a")
    assert isinstance(look, Miss)
    assert look.code == "nonsense"
