"""The words of wire protocol v1 (docs/reference/protocol.md): states, snapshots, frames in and out."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, get_args
from uuid import UUID

import msgspec

from .exceptions import BadFrame, Invalid, UnknownAction

VERSION = 1
QUIET = 12_000
"""Milliseconds of silence after which a client asks again."""


class State(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def complete(self) -> bool:
        """Whether it is over: nothing changes any more."""
        return self in _COMPLETE


_COMPLETE = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Failure(msgspec.Struct, frozen=True):
    """Why a job failed: a code for programs, a message for people."""

    code: str
    message: str


class Snapshot(msgspec.Struct, frozen=True):
    """The whole visible state of a job, the same on every transport. Absolute, and ordered by `seq`.

    `seq` is microseconds, `left` a duration in milliseconds, `created`, `at`, `heard`, `moved` and `due` are
    milliseconds since 1970. `progress` and `complete` follow from the rest.

    Three clocks tell apart who is silent: `heard` is when the service last answered, `moved` when the job last moved,
    and `due` when its next step is to be taken, so that the time by which that is over is how late we are ourselves.
    """

    job: str
    service: str
    title: str
    state: State
    created: int
    seq: int = 0
    progress: int = 0
    complete: bool = False
    percent: float | None = None
    message: str = ""
    misses: int = 0
    left: int | None = None
    file: str | None = None
    result: Any = None
    error: Failure | None = None
    at: int = 0
    heard: int | None = None
    moved: int | None = None
    due: int | None = None
    stalled: bool = False
    attempt: int = 1
    retry_of: str | None = None

    def __post_init__(self) -> None:
        succeeded = self.state is State.SUCCEEDED
        set_attribute = msgspec.structs.force_setattr
        set_attribute(self, "progress", 100 if succeeded else min(99, int(self.percent or 0)))
        set_attribute(self, "complete", self.state.complete)


# Frames from the client.

Text64 = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    ref: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Start(_Frame, frozen=True, kw_only=True, tag="start"):
    """Start a job; bare when it says nothing else."""

    service: Text64 | None = None
    params: dict[str, Any] = {}
    key: Text64 | None = None

    @property
    def bare(self) -> bool:
        return self.service is None and self.key is None and not self.params


class Watch(_Frame, frozen=True, kw_only=True, tag="watch"):
    """Send me the job's updates."""

    job: UUID


class Unwatch(_Frame, frozen=True, kw_only=True, tag="unwatch"):
    """Stop sending them."""

    job: UUID


class Cancel(_Frame, frozen=True, kw_only=True, tag="cancel"):
    """Stop the job."""

    job: UUID


class Retry(_Frame, frozen=True, kw_only=True, tag="retry"):
    """Try a job that is over once more, as a new one."""

    job: UUID


class ListJobs(_Frame, frozen=True, kw_only=True, tag="list"):
    """Send me my jobs, and their updates from now on."""


class Ping(_Frame, frozen=True, kw_only=True, tag="ping"):
    """Are you there?"""


Action = Start | Watch | Unwatch | Cancel | Retry | ListJobs | Ping
ACTIONS = tuple(str(frame.__struct_config__.tag) for frame in get_args(Action))

_decode_action = msgspec.json.Decoder(Action).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse(text: str) -> Action:
    """Return what a client's text frame asks for.

    :raises BadFrame: if it is no JSON object.
    :raises UnknownAction: if the protocol has no such action.
    :raises Invalid: if a key has the wrong type or value.
    """
    try:
        action_frame: Action = _decode_action(text)
        return action_frame
    except msgspec.ValidationError as error:
        trouble = str(error)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        trouble = ""
    # Decoded again without the types, only to say better what was wrong.
    frame = _decode_object(text)
    action = frame.get("action")
    if action not in ACTIONS:
        got = "none" if "action" not in frame else repr(action)[:80]
        raise UnknownAction(f"Expected an action, one of {', '.join(ACTIONS)}, got {got}.")
    key = trouble.rpartition("`$.")[2].rstrip("`")
    got = f", got {frame[key]!r}"[:80] if key in frame else ""
    raise Invalid(f"{action}: {trouble}{got}.")


def _decode_object(text: str) -> dict[str, Any]:
    try:
        frame = _decode_any(text)
    except RecursionError:
        raise BadFrame("Expected a JSON object, got JSON that is nested too deep.") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadFrame(f"Expected a JSON object, got text that is no JSON ({error}).") from None
    if not isinstance(frame, dict):
        raise BadFrame(f"Expected a JSON object, got {_kind(frame)}.")
    return frame


def ref_of(text: str) -> str | None:
    """Return the `ref` of a frame that could not be parsed, if one can be found: its sender waits for an answer."""
    try:
        ref = _decode_object(text).get("ref")
    except BadFrame:
        return None
    return ref if isinstance(ref, str) and len(ref) <= 64 else None


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names[type(value)]


# Frames from the server. Built around a snapshot's JSON, so that each snapshot is encoded once, whoever gets it.


def encode(snapshot: Snapshot) -> bytes:
    """Return a snapshot as JSON."""
    return _encode(snapshot)


def update_frame(body: bytes) -> str:
    """Return an `update` frame around an encoded snapshot."""
    return (b'{"type":"update",' + body[1:]).decode()


def answer_frame(kind: str, snapshot: Snapshot, now: int, ref: str | None) -> str:
    """Return an `accepted` or `snapshot` frame; `now` in milliseconds since 1970."""
    return _frame(kind, ref=ref, now=now)[:-1] + "," + encode(snapshot)[1:].decode()


def jobs_frame(snapshots: list[Snapshot], now: int, ref: str | None) -> str:
    """Return a `jobs` frame."""
    return _frame("jobs", jobs=snapshots, now=now, ref=ref)


def hello_frame() -> str:
    """Return the first frame."""
    return _frame("hello", accept=True, version=VERSION, quiet=QUIET)


def hook_body(snapshot: Snapshot, timestamp: str) -> bytes:
    """Return what a webhook says of a job that has ended; `timestamp` is when, as ISO 8601 has it."""
    kind = _encode({"type": f"job.{snapshot.state}", "timestamp": timestamp})
    return kind[:-1] + b"," + encode(snapshot)[1:]


def pong_frame(ref: str | None) -> str:
    """Return the answer to a ping."""
    return _frame("pong", ref=ref)


def error_frame(code: str, message: str, ref: str | None) -> str:
    """Return an `error` frame."""
    return _frame("error", code=code, message=message, ref=ref)


def _frame(kind: str, **keys: Any) -> str:
    return _encode({"type": kind, **{key: value for key, value in keys.items() if value is not None}}).decode()
