"""What may be asked for in a new job: whose it is, its names, its parameters, its parent, who is told of its end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from . import registry
from .exceptions import Invalid, InvalidParams, NotFound
from .models import Job, primary
from .protocol import DEADLINE_MOST, State
from .standing import key_of
from .step import NESTING_MOST, deep, one_line
from .tell import parse as parse_tell

_KEY_MOST = 120
_OWNER_MOST = 120
_TITLE_MOST = 200
_WEIGHT_MOST = 1_000_000_000


def check_owner(owner: object) -> None:
    """Refuse what can be nobody.

    :raises Invalid: saying what was expected and what came.
    """
    if not (isinstance(owner, str) and 0 < len(owner) <= _OWNER_MOST and owner.isprintable()):
        raise Invalid(f"owner: expected 1 to {_OWNER_MOST} printable characters, got {owner!a:.80}.")


def check_key(key: object) -> None:
    """Refuse what can be no key of a start; None is none.

    :raises Invalid: saying what was expected and what came.
    """
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= _KEY_MOST and key.isprintable()):
        raise Invalid(f"key: expected 1 to {_KEY_MOST} printable characters, got {key!a:.80}.")


def check_deadline(deadline: object) -> None:
    """Refuse what can be no deadline; None is none.

    :raises Invalid: saying what was expected and what came.
    """
    if deadline is not None and not (type(deadline) is int and 0 < deadline <= DEADLINE_MOST):
        raise Invalid(f"deadline: expected 1 to {DEADLINE_MOST} whole milliseconds, got {deadline!a:.80}.")


def title_of(text: str) -> str:
    """Return a title as rows keep it."""
    return one_line(text)[:_TITLE_MOST]


def parent_of(parent: str | uuid.UUID | None, weight: float) -> uuid.UUID | None:
    """Return the id of the job that a new one is to be a child of.

    :raises NotFound: if it is no id of a job.
    :raises Invalid: if the child cannot weigh that much.
    """
    if isinstance(weight, bool) or not (isinstance(weight, int | float) and 0 <= weight <= _WEIGHT_MOST):
        raise Invalid(f"weight: expected a number from 0 to {_WEIGHT_MOST}, got {weight!a:.80}.")
    return None if parent is None else uuid.UUID(key_of(parent))


def take_owner(job: Job) -> None:
    """Give a new child that has no owner its parent's: a visitor may have logged in since that was started."""
    if not job.owner and job.parent_id is not None:
        job.owner = primary().filter(pk=job.parent_id).values_list("owner", flat=True).first() or ""


def check_parent(job: Job) -> None:
    """Refuse a new job whose parent it cannot be a child of; to be called where it is inserted.

    :raises NotFound: if its parent is gone, or somebody else's.
    :raises Invalid: if its parent is over.
    """
    if job.parent_id is None:
        return
    state = primary().filter(pk=job.parent_id, owner=job.owner).values_list("state", flat=True).first()
    if state is None:
        raise NotFound(f"Expected the id of a job of yours as parent, got {job.parent_id}.")
    if State(state).complete:
        raise Invalid(f"parent: expected a job that is not over, got one that is {state}.")


def addressees(tell: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return addressees as a row keeps them, None if there are none.

    :raises Invalid: if they cannot be told.
    """
    if not tell:
        return None
    try:
        return [msgspec.to_builtins(each) for each in parse_tell(tell, registry.conf().tell_allow)]
    except ValueError as error:
        raise Invalid(f"tell: {error}.") from None


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as the JSON that any database keeps.

    :raises InvalidParams: if they are none, or too long.
    """
    try:
        text = msgspec.json.encode(params)
        plain: dict[str, Any] = msgspec.json.decode(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParams(f"Expected parameters that JSON can say, got others: {error}.") from None
    if len(text) > (most := registry.conf().max_params_bytes):
        raise InvalidParams(f"Expected parameters of at most {most} bytes as JSON, got {len(text)}.")
    if b"\\u0000" in text:
        raise InvalidParams("Expected parameters of text, got a NUL character in them.")
    if deep(plain):
        raise InvalidParams(f"Expected parameters nested at most {NESTING_MOST} deep, got more.")
    return plain
