"""The words of wire protocol v1 (docs/reference/protocol.md): states, snapshots, frames in and out."""

from __future__ import annotations

from collections.abc import Sequence
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


class Line(msgspec.Struct, frozen=True):
    """One line of a job's journal: something that was said on the way, or a part of the result.

    :param text: for people.
    :param level: `debug`, `info`, `warning` or `error`.
    :param data: any JSON.
    :param n: its number in the journal, from 1, without a gap; 0 as long as it has none.
    :param seq: from the sequence of the job's snapshots: that which counts it comes later.
    :param at: when it was written, in milliseconds since 1970.
    """

    text: str
    level: str = "info"
    data: Any = None
    n: int = 0
    seq: int = 0
    at: int = 0


LEVELS = frozenset({"debug", "info", "warning", "error"})


class Resume(StrEnum):
    """What an answer to a watch says of the journal that comes with it."""

    RECOVERED = "recovered"
    RESET = "reset"


class Snapshot(msgspec.Struct, frozen=True):
    """The whole visible state of a job, the same on every transport. Absolute, and ordered by `seq`.

    `seq` is microseconds, `left` a duration in milliseconds, `created`, `at`, `heard`, `moved` and `due` are
    milliseconds since 1970. `lines` is how many lines the job's journal has had, `parent` the job that this one is a
    child of, `can_retry` whether clients may try it again, `version` the protocol's by which it is written. `progress`
    and `complete` follow from the rest.

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
    parent: str | None = None
    can_retry: bool = True
    lines: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        succeeded = self.state is State.SUCCEEDED
        set_attribute = msgspec.structs.force_setattr
        set_attribute(self, "progress", 100 if succeeded else min(99, int(self.percent or 0)))
        set_attribute(self, "complete", self.state.complete)
        # Whatever it was read from: this is what it is written by.
        set_attribute(self, "version", VERSION)


class Cut(Snapshot, frozen=True):
    """One in a list, without a result that there is, but too long for one."""

    cut: bool = True


# Frames from the client.

SEQ_MOST = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""
DEADLINE_MOST = 10 * 365 * 86_400_000
"""Milliseconds that a job may be given at most: ten years."""
Text64 = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Channel = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class _Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    ref: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Start(_Frame, frozen=True, kw_only=True, tag="start"):
    """Start a job; bare when it says nothing else."""

    service: Text64 | None = None
    params: dict[str, Any] = {}
    key: Text64 | None = None
    deadline: Annotated[int, msgspec.Meta(ge=1, le=DEADLINE_MOST)] | None = None

    @property
    def bare(self) -> bool:
        return self.service is None and self.key is None and self.deadline is None and not self.params


class Watch(_Frame, frozen=True, kw_only=True, tag="watch"):
    """Send me how the job stands, the lines of its journal after `after`, and its updates."""

    job: UUID
    after: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MOST)] | None = None


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


class Subscribe(_Frame, frozen=True, kw_only=True, tag="subscribe"):
    """Send me the events of that channel from now on."""

    channel: Channel


class Unsubscribe(_Frame, frozen=True, kw_only=True, tag="unsubscribe"):
    """Stop sending them."""

    channel: Channel


class Ping(_Frame, frozen=True, kw_only=True, tag="ping"):
    """Are you there?"""


class Ack(_Frame, frozen=True, kw_only=True, tag="ack"):
    """I have read everything up to the frame that had this number."""

    ack: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MOST)]


Action = Start | Watch | Unwatch | Cancel | Retry | ListJobs | Subscribe | Unsubscribe | Ping | Ack
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
    frame = parse_object(text)
    action = frame.get("action")
    if action not in ACTIONS:
        got = "none" if "action" not in frame else repr(action)[:80]
        raise UnknownAction(f"Expected an action, one of {', '.join(ACTIONS)}, got {got}.")
    key = trouble.rpartition("`$.")[2].rstrip("`")
    got = f", got {frame[key]!r}"[:80] if key in frame else ""
    raise Invalid(f"{action}: {trouble}{got}.")


def parse_object(text: str) -> dict[str, Any]:
    """Return a JSON object.

    :raises BadFrame: if it is none.
    """
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
        ref = parse_object(text).get("ref")
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


def with_lines(body: bytes, lines: Sequence[Line]) -> bytes:
    """Return an encoded snapshot with new lines of its journal."""
    return body[:-1] + b',"journal":' + _encode(lines) + b"}" if lines else body


def update_frame(bodies: Sequence[bytes]) -> str:
    """Return one frame around encoded snapshots of different jobs: an `update`, or `updates` if they are several."""
    if len(bodies) == 1:
        return (b'{"type":"update",' + bodies[0][1:]).decode()
    return (b'{"type":"updates","updates":[' + b",".join(bodies) + b"]}").decode()


def with_ack(frame: str, number: int | None) -> str:
    """Return a frame that asks its reader to repeat a number, if there is one."""
    return frame if number is None else f'{frame[:-1]},"ack":{number}}}'


def answer_frame(
    kind: str,
    snapshot: Snapshot,
    now: int,
    ref: str | None,
    resume: Resume | None = None,
    lines: Sequence[Line] | None = None,
) -> str:
    """Return an `accepted` or `snapshot` frame.

    :param now: milliseconds since 1970.
    :param resume: what the lines are, if the answer is one to a watch, and the journal could be read.
    :param lines: of the journal.
    """
    head = _frame(kind, ref=ref, now=now, resume=resume, journal=lines if resume else None)
    return head[:-1] + "," + encode(snapshot)[1:].decode()


def jobs_frame(snapshots: list[Snapshot], now: int, ref: str | None) -> str:
    """Return a `jobs` frame."""
    return _frame("jobs", jobs=snapshots, now=now, ref=ref)


def hello_frame() -> str:
    """Return the first frame."""
    return _frame("hello", accept=True, version=VERSION, quiet=QUIET)


def subscribed_frame(channel: str, ref: str | None) -> str:
    """Return the answer to a subscribe."""
    return _frame("subscribed", channel=channel, ref=ref)


def event_frame(channel: str, name: str, data: msgspec.Raw) -> bytes:
    """Return the frame of an event.

    :param channel: as its subscribers call it.
    :param data: what it says, as JSON.
    """
    return _encode({"type": "event", "channel": channel, "event": name, "data": data})


def hook_body(snapshot: Snapshot, timestamp: str) -> bytes:
    """Return what a webhook says of a job that has ended; `timestamp` is when, as ISO 8601 has it."""
    kind = _encode({"type": f"job.{snapshot.state}", "timestamp": timestamp})
    return kind[:-1] + b"," + encode(snapshot)[1:]


def pong_frame(ref: str | None) -> str:
    """Return the answer to a ping."""
    return _frame("pong", ref=ref)


def error_frame(code: str, message: str, ref: str | None, **about: str) -> str:
    """Return an `error` frame.

    :param about: if it answers nothing, the `job` or `channel` that it is about.
    """
    return _frame("error", code=code, message=message, ref=ref, **about)


def to_json(value: Any) -> str:
    """Return a value as JSON."""
    return _encode(value).decode()


def _frame(kind: str, **keys: Any) -> str:
    return _encode({"type": kind, **{key: value for key, value in keys.items() if value is not None}}).decode()
