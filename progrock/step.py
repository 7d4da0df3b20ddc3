"""The rules of one look at a job: what it means, what to show, when to look again. Pure: no I/O, no clock.

Times are whole microseconds of the store's clock, durations whole milliseconds, as everywhere below the snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from .estimate import Pace, left, observe
from .protocol import LEVELS, Failure, Line, Snapshot, State

NESTING_MOST = 100
LINES_MOST = 100
"""How many lines a step takes: the others come with the next."""
DATA_MOST = 4_096
"""Bytes of JSON beside a line."""
_ENDING_MOST = 1_000
"""The same of the last step."""
_POLICY_MOST = 10 * 365 * 86_400_000
"""Ten years in milliseconds: beyond what a schedule takes for a delay, no look would come at all."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to look at the jobs of a service. All durations in milliseconds.

    :param interval: from one look to the next, at the start of a job and near its end.
    :param interval_most: the same of a job that takes long: it is a fiftieth of what it has taken so far.
    :param net: the same at least, from the service's first answer on, where it calls back when there is something to
        see: looks in between are a safety net. None where it does not.
    :param unwatched: the least from one look to the next while no client watches the job; None makes no difference.
    :param retry: the first back-off after a look without an answer; doubled each time, up to `retry_most`. The delay is
        a random part of it, so that many jobs do not come back together.
    :param patience: how long the service may leave us without an answer before the job fails, counted from when the
        first look that it did not answer was due.
    :param cancel_patience: the same while a cancel is waiting for its answer.
    :param expiry: how long a job may wait for its first step.
    :param deadline: how long a job may take from its first step on.
    :param stall: how long nothing may move, though the service answers, until people are told so.
    :param nonsense: how many answers in a row that make no sense, or refuse a job that has begun, fail it.
    :param vanished: how many times in a row the service must say it does not know the job.
    :param losses: how many times in a row a step may take its worker down, or raise.
    :param stopped: what becomes of a job that the service has cancelled though nobody here has asked for it: `failed`
        with the code `stopped`, or `cancelled`.
    :param unknown_start: what becomes of a job that the service may have been told to start, when it can neither be
        asked for it nor be told twice: `fail` with the code `start_unknown`, or `restart`.
    """

    interval: int = 1_000
    interval_most: int = 10_000
    net: int | None = None
    unwatched: int | None = None
    retry: int = 500
    retry_most: int = 30_000
    patience: int = 600_000
    cancel_patience: int = 30_000
    expiry: int = 86_400_000
    deadline: int = 86_400_000
    stall: int = 120_000
    nonsense: int = 5
    vanished: int = 3
    losses: int = 5
    stopped: Literal["failed", "cancelled"] = "failed"
    unknown_start: Literal["fail", "restart"] = "fail"

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
            if isinstance(value, int) and value > _POLICY_MOST:
                raise ValueError(f"{name} must be at most {_POLICY_MOST}, got {value}")


class Reading(msgspec.Struct, frozen=True):
    """What a service reported of a job.

    :param state: PENDING, RUNNING, or how it ended.
    :param percent: 0 to 100, or None when it does not say; anything else is clamped or ignored.
    :param message: what is going on, for people.
    :param title: what the service calls the job; empty leaves it as it is.
    :param result: any JSON.
    :param file: media type of the finished file, if there is one.
    :param again: milliseconds that the service asks us to wait.
    :param lines: what it has said of the job so far, as lines or as text: all of it, or from the line `first` on. The
        journal takes those that it does not have: a reading that is lost or taken twice is repaired by the next.
    :param first: the number of the first of the lines; the job's first has the number 1.
    """

    state: State
    percent: object = None
    message: str = ""
    title: str = ""
    result: Any = None
    file: str | None = None
    again: int | None = None
    lines: Sequence[Line | str] = ()
    first: int = 1


class Miss(msgspec.Struct, frozen=True):
    """A look that got no answer, or none that makes sense.

    :param code: `unreachable`, `nonsense`, `vanished`, `refused`, `auth`: our credentials are not accepted, or `lost`:
        nothing is heard of the code that does the job.
    :param message: what happened, for people.
    :param again: milliseconds that the service asks us to wait.
    :param heard: whether the service may have done what it was asked. False if it surely has not.
    """

    code: str
    message: str
    again: int | None = None
    heard: bool = True


Look = Reading | Miss
CODES = frozenset({"unreachable", "nonsense", "vanished", "refused", "auth", "lost"})
"""The codes that a miss can have."""


class Run(msgspec.Struct, frozen=True, tag="run"):
    """A job's live state, as its entry in the schedule carries it from step to step.

    :param owner: whose job it is.
    :param snapshot: what was last shown.
    :param remote: the service's name for the job; empty before it has one.
    :param started: when the first step was taken, 0 before.
    :param answered: when the service last answered.
    :param miss: the code of the last look, if that was a miss.
    :param strikes: how many misses in a row had that code.
    :param unsure: whether a call to start it may have been heard without our knowing what came of it.
    :param deadline: milliseconds that this job may take, 0 if that is the policy's to say.
    :param put_off: whether its last look was put off, because its service takes no more calls yet.
    :param usual: milliseconds that jobs of its service usually take, 0 if nobody knows.
    :param pace: what is known of when it will end.
    :param tell: whether its start may have named somebody who is to be told of its end: a worker of the version before
        leaves it out of what it settles, and then only the row knows.
    :param trace: the `traceparent` that its steps belong to, empty if there is none. A worker of the version before
        leaves it out, and the job goes on in a new trace.
    :param version: of the form of entries. One above is not read, but left to a worker that knows it.
    """

    owner: str
    snapshot: Snapshot
    remote: str = ""
    started: int = 0
    answered: int = 0
    miss: str = ""
    strikes: int = 0
    unsure: bool = False
    deadline: int = 0
    put_off: bool = False
    usual: int = 0
    pace: Pace = Pace()
    tell: bool = True
    trace: str = ""
    version: Literal[1] = 1

    @property
    def blank(self) -> bool:
        """Whether it was made again from its row, and the service not heard since: less is known than was shown."""
        return bool(self.remote) and self.snapshot.heard is None


class Decision(msgspec.Struct, frozen=True):
    """What follows from a look: the job's new live state, when to look again if its snapshot is not complete, and what
    is new in its journal."""

    run: Run
    delay: int
    lines: Sequence[Line] = ()


def anew(run: Run, now: int) -> Run:
    """Return a run with its clocks set, to now where they are not known: it was just made, or made again.

    To now also where they are ahead of it: the store of before had another clock, and what is yet to come never ends.
    """
    return replace(run, started=min(run.started or now, now), answered=min(run.answered or now, now))


def begin(run: Run, now: int) -> Run:
    """Return a run as it is shown at its first step."""
    state = State.RUNNING if run.snapshot.state is State.PENDING else run.snapshot.state
    return _show(replace(anew(run, now), snapshot=replace(run.snapshot, state=state)), now, 0)


def expired(run: Run, policy: Policy, now: int) -> Run | None:
    """Return the run as failed, if it has waited too long for its first step; None if it may begin."""
    waited = _ms(now) - run.snapshot.created
    if waited <= policy.expiry:
        return None
    return fail(run, "expired", f"It could not be started within {_duration(policy.expiry)}.", now)


def decide(
    run: Run, look: Look, policy: Policy, now: int, jitter: float, *, spread: bool = False, watched: bool = True
) -> Decision:
    """Return what follows from one look.

    :param now: the store's time.
    :param jitter: a random number from 0 to 1.
    :param spread: whether jobs that began together are to be looked at one by one, as a call can ask for one only.
    :param watched: whether a client watches the job.
    """
    if isinstance(look, Miss):
        return _missed(run, look, policy, now, jitter)
    lines = _news(run.snapshot, look, now)
    if lines:
        run = replace(run, snapshot=replace(run.snapshot, seq=lines[-1].seq, lines=lines[-1].n))
    decision = _answered(run, look, policy, now, jitter, spread=spread, watched=watched, moves=bool(lines))
    return replace(decision, lines=lines) if lines else decision


def unsaid(run: Run, lines: int) -> Run:
    """Return a run whose journal has only so many lines after all: the others are there with the next reading."""
    return replace(run, snapshot=replace(run.snapshot, lines=lines))


def _news(snapshot: Snapshot, reading: Reading, now: int) -> Sequence[Line]:
    """Return the lines that the journal does not have, as it takes them."""
    new = reading.lines[max(0, snapshot.lines + 1 - reading.first) :]
    if not new:
        return ()
    most = _ENDING_MOST if reading.state.complete else LINES_MOST
    n, seq = max(snapshot.lines + 1, reading.first), max(snapshot.seq + 1, now)
    return [_line(line, n + i, seq + i, now) for i, line in enumerate(new[:most])]


def _line(said: object, n: int, seq: int, now: int) -> Line:
    """Return a line as the journal takes it, whatever the adapter has made of it: it keeps its number."""
    if not isinstance(said, Line):
        return Line(one_line(said) if isinstance(said, str) else "", n=n, seq=seq, at=_ms(now))
    text = said.text if isinstance(said.text, str) else ""
    level = said.level if isinstance(said.level, str) and said.level in LEVELS else "info"
    return Line(one_line(text), level, _said(said.data), n, seq, _ms(now))


def _said(data: object) -> object:
    """Return the JSON beside a line, None if it is none, or too much."""
    try:
        text = msgspec.json.encode(data)
        plain = msgspec.json.decode(text)
        msgspec.msgpack.encode(plain)  # as journals keep it, where integers have 64 bits
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return None if len(text) > DATA_MOST or deep(plain) else plain


def _answered(
    run: Run, look: Reading, policy: Policy, now: int, jitter: float, *, spread: bool, watched: bool, moves: bool
) -> Decision:
    first = run.snapshot.heard is None
    run = replace(run, answered=now, miss="", strikes=0, put_off=False)
    snapshot = replace(
        run.snapshot,
        misses=0,
        heard=_ms(now),
        title=one_line(look.title)[:200] or run.snapshot.title,
        message=one_line(look.message) if look.message or run.snapshot.misses else run.snapshot.message,
    )
    if look.state.complete:
        return Decision(_end(replace(run, snapshot=snapshot), look, policy, now), 0)
    if _overdue(run, policy, now):
        return Decision(fail(run, "deadline", _deadline_message(run, policy), now), 0)
    percent = _percent(look.percent, snapshot.percent)
    # As reported, so that a job that begins again out there is seen to.
    pace = observe(run.pace, _percent(look.percent, None), now, run.started, run.usual)
    moved = snapshot.moved
    if moves or percent != run.snapshot.percent or snapshot.message != run.snapshot.message or moved is None:
        moved = _ms(now)
    stalled = _ms(now) - moved > policy.stall
    rest = left(pace, now)
    delay = _interval(policy, now - run.started, rest)
    # Not before the second answer: a callback that overtook the first found nobody to tell. Nor while a cancel waits.
    if policy.net and not first and snapshot.state is not State.CANCELLING:
        delay = max(delay, policy.net)
    if spread:
        # Half an interval around the first look, a quarter around the others: in a few looks they are anywhere.
        delay = max(1, round(delay * (1 + (jitter - 0.5) * (1.0 if first else 0.5))))
    if policy.unwatched and not watched:
        delay = max(delay, policy.unwatched)
    delay = max(1, min(max(delay, look.again or 0), _rest(run, policy, now)))
    snapshot = replace(snapshot, percent=percent, left=rest, moved=moved, stalled=stalled)
    return Decision(_show(replace(run, snapshot=snapshot, pace=pace), now, delay), delay)


def put_off(run: Run, policy: Policy, now: int, delay: int, *, begun: bool = True) -> Decision:
    """Return what follows from a look that was not taken, because the service takes no more calls yet.

    It is no miss: nobody was asked. But a deadline holds, and who cancels does not wait for ever.

    :param now: the store's time.
    :param delay: milliseconds until it is this job's turn.
    :param begun: whether its first step was taken; of one that waits for it, no clock runs but that of its expiry.
    """
    if not begun:
        delay = max(1, min(delay, policy.expiry - (_ms(now) - run.snapshot.created) + 1))
        return Decision(_show(replace(run, put_off=True, started=0, answered=0), now, delay), delay)
    if _overdue(run, policy, now):
        return Decision(fail(run, "deadline", _deadline_message(run, policy), now), 0)
    run = _forgive(run, now)
    rest = _rest(run, policy, now)
    if run.snapshot.state is State.CANCELLING:
        patience = policy.cancel_patience - (now - run.answered) // 1000
        if patience < 0:
            untold = "Cancelled, but the service may go on with it: it takes no more calls yet."
            return Decision(cancelled(run, untold, now), 0)
        rest = min(rest, patience + 1)
    delay = max(1, min(delay, rest))
    return Decision(_show(replace(run, put_off=True), now, delay), delay)


def _interval(policy: Policy, elapsed: int, rest: int | None) -> int:
    """Return the delay until the next look: longer the longer it takes, and short again when the end is near.

    :param elapsed: microseconds since the first step.
    :param rest: milliseconds until the end, if there is an idea.
    """
    slow = min(elapsed // 50_000, policy.interval_most, rest if rest is not None else policy.interval_most)
    return max(policy.interval, slow)


def soonest(run: Run, policy: Policy) -> int:
    """Return when a look that a callback asks for may be taken, in milliseconds of the store's clock.

    However often a service calls, it is asked no more often than the policy has it; and one in trouble is left alone
    for as long as it would have been.
    """
    return (run.snapshot.due or 0) if run.miss or run.put_off else run.snapshot.at + policy.interval


def too_soon(run: Run, policy: Policy, now: int) -> Decision | None:
    """Return when to take a look that a callback asks for, if it has to wait; None if it may be taken."""
    delay = soonest(run, policy) - _ms(now)
    if policy.net is None or not run.remote or delay <= 0:
        return None
    if not run.miss and not run.put_off:
        delay = min(delay, policy.interval)  # a row's clock may be ahead of the store's
    return Decision(replace(run, snapshot=replace(run.snapshot, due=_ms(now) + delay)), delay)


def fail(run: Run, code: str, message: str, now: int) -> Run:
    """Return the run as failed, for a reason that a person understands."""
    return _finish(run, State.FAILED, message, now, error=Failure(code, message))


def cancelled(run: Run, message: str, now: int) -> Run:
    """Return the run as cancelled."""
    return _finish(run, State.CANCELLED, message, now)


def _missed(run: Run, miss: Miss, policy: Policy, now: int, jitter: float) -> Decision:
    miss = replace(miss, message=one_line(miss.message))
    misses = run.snapshot.misses + 1
    strikes = run.strikes + 1 if miss.code == run.miss else 1
    cancelling = run.snapshot.state is State.CANCELLING
    if not run.snapshot.misses and run.snapshot.due is not None:
        # Until the look was due the silence was ours: we did not ask.
        run = replace(run, answered=max(run.answered, min(now, run.snapshot.due * 1000)))
    run = _forgive(run, now)
    silence = (now - run.answered) // 1000
    # A refused start will be refused again; a refused look may be about the others in its batch.
    refused = policy.nonsense if run.remote else 1
    limit = {"nonsense": policy.nonsense, "vanished": policy.vanished, "refused": refused}.get(miss.code)
    enough = limit is not None and strikes >= limit
    if cancelling and (silence > policy.cancel_patience or miss.code in ("vanished", "refused") or enough):
        return Decision(cancelled(run, f"Cancelled, but the service may go on with it: {miss.message}", now), 0)
    if enough:
        return Decision(fail(run, miss.code, miss.message, now), 0)
    if silence > policy.patience:
        without = "" if miss.code == "auth" else " without an answer"
        message = f"Gave up after {_duration(silence)}{without}. {miss.message}"
        return Decision(fail(run, miss.code, message, now), 0)
    if _overdue(run, policy, now):
        return Decision(fail(run, "deadline", _deadline_message(run, policy), now), 0)
    back_off = min(policy.retry_most, policy.retry * 2 ** min(misses - 1, 20))
    # Somebody must put the credentials right: to ask often is no use, and may lock us out for good.
    wait = policy.retry_most * (1 + jitter) / 2 if miss.code == "auth" else back_off * jitter
    # What says the same of a job several times must have had the time to think again.
    floor = policy.interval if limit is not None else 1
    # What the service asks for is a floor too.
    delay = max(int(wait), floor, miss.again or 0)
    # Whatever it asks for, nobody waits beyond the moment in which this would be given up.
    patience = policy.cancel_patience if cancelling else policy.patience
    rest = (run.answered + patience * 1000 - now) // 1000 + 1
    delay = max(1, min(delay, rest, _rest(run, policy, now)))
    snapshot = replace(run.snapshot, misses=misses, message=miss.message, left=None, stalled=False)
    run = replace(run, miss=miss.code, strikes=strikes, put_off=False, snapshot=snapshot)
    return Decision(_show(run, now, delay), delay)


def _forgive(run: Run, now: int) -> Run:
    """Return the run without the silence since it was put off, if the service was silent before: that was ours.

    Not of a cancel: whoever waits for its end does not wait for ever.
    """
    if not run.put_off or not run.snapshot.misses or run.snapshot.state is State.CANCELLING:
        return run
    until = min(now, (run.snapshot.due or 0) * 1000)
    return replace(run, answered=min(now, run.answered + max(0, until - run.snapshot.at * 1000)))


def _end(run: Run, reading: Reading, policy: Policy, now: int) -> Run:
    message = one_line(reading.message)
    if reading.state is State.FAILED:
        return fail(run, "remote", message or "The service says that it failed.", now)
    if reading.state is State.CANCELLED:
        if run.snapshot.state is State.CANCELLING or policy.stopped == "cancelled":
            return cancelled(run, message or "Cancelled.", now)
        return fail(run, "stopped", message or "The service stopped it.", now)
    if run.snapshot.state is State.CANCELLING:
        message = "It was finished before it could be cancelled."
    file = one_line(reading.file)[:100] if reading.file else None
    return _finish(run, State.SUCCEEDED, message or "Done.", now, percent=100.0, file=file, result=reading.result)


def _finish(run: Run, state: State, message: str, now: int, **changes: Any) -> Run:
    over: dict[str, Any] = {"left": None, "misses": 0, "stalled": False, "moved": _ms(now)}
    snapshot = replace(run.snapshot, state=state, message=message, **over, **changes)
    return _show(replace(run, snapshot=snapshot), now, None)


def _show(run: Run, now: int, delay: int | None) -> Run:
    """Return the run with a snapshot that is newer than the last.

    :param delay: milliseconds until the next look, None if there is none.
    """
    due = None if delay is None else _ms(now) + delay
    return replace(run, snapshot=replace(run.snapshot, seq=max(run.snapshot.seq + 1, now), at=_ms(now), due=due))


def _percent(reported: object, shown: float | None) -> float | None:
    """Return what to show: a number from 0 to 100 that never goes down, or what was shown before."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return shown
    if isinstance(reported, float) and not math.isfinite(reported):
        return shown
    return round(float(max(0, min(100, reported), shown or 0)), 2)


def one_line(text: str) -> str:
    """Return text from outside as one short line without control characters."""
    if len(text) <= 500 and text.isprintable():
        return text.strip()
    return "".join(char if char.isprintable() else " " for char in text[:500]).strip()


def deep(value: object, most: int = NESTING_MOST) -> bool:
    """Return whether JSON is nested deeper than `most`: who stores it must be able to read it, whatever its stack."""
    inside = value if isinstance(value, list) else value.values() if isinstance(value, dict) else None
    return inside is not None and (most < 1 or any(deep(each, most - 1) for each in inside))


def _deadline(run: Run, policy: Policy) -> int:
    return run.deadline or policy.deadline


def _overdue(run: Run, policy: Policy, now: int) -> bool:
    return now - run.started > _deadline(run, policy) * 1000


def _rest(run: Run, policy: Policy, now: int) -> int:
    """Return the milliseconds until the job is overdue."""
    return _deadline(run, policy) - (now - run.started) // 1000 + 1


def _deadline_message(run: Run, policy: Policy) -> str:
    return f"It was not finished within {_duration(_deadline(run, policy))}."


def _duration(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} seconds"


def _ms(microseconds: int) -> int:
    return microseconds // 1000
