"""The faults that chance would hardly hit: at a place in the life of a job, see `project/points.py`."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

from tests.chaos.faults import DONE, Fault, Scene
from tests.chaos.project.apps import RUN_LEASE
from tests.chaos.stage import Seat

STRUCK_MOST = 60.0
"""Seconds until somebody has come by the next place."""
FROZEN = RUN_LEASE / 1000 + 2
"""Seconds that stand still who is frozen at a place."""


async def recover(scene: Scene) -> None:
    """Fill the seats that become empty, and let go on what stands still, until all has happened that was to."""
    seats = scene.stage.seats
    left, end = len(scene.stage.armed), time.monotonic() + STRUCK_MOST
    while True:
        armed = scene.stage.armed
        if len(armed) < left:
            left, end = len(armed), time.monotonic() + STRUCK_MOST
        await asyncio.sleep(0.2)
        if stopped := [seat for seat in seats if seat.hand.stands]:
            await asyncio.sleep(FROZEN)
            for seat in stopped:
                seat.hand.thaw()
        await asyncio.gather(*(_fill(seat) for seat in seats if seat.hand.code is not None))
        if not armed:
            return
        assert time.monotonic() < end, f"nobody came by {armed}"


async def _fill(seat: Seat) -> None:
    """Put a new process there. It may come by the next place before anybody has seen it."""
    try:
        await seat.again()
    except AssertionError:
        if seat.hand.code != -signal.SIGKILL:
            raise


def point(
    name: str,
    rows: str,
    place: str,
    does: str,
    seen: str,
    *,
    action: str = "die",
    most: int = 5,
    twice: bool = False,
    lasts: float | None = None,
    service: str = "synth",
    expected: frozenset[str] = DONE,
) -> Fault:
    """Return a fault at a place."""
    places = ((place, action, most),)
    return Fault(
        name,
        rows,
        does,
        seen,
        recover,
        places=places,
        expected=expected,
        twice=twice,
        service=service,
        lasts=lasts,
        chance=False,
    )


def together(name: str, faults: Sequence[Fault]) -> Fault:
    """Return one fault that is several at places, whoever comes by first, while the same jobs run."""
    actions = {place: action for fault in faults for place, action, _ in fault.places}
    return Fault(
        name,
        " ".join(fault.rows for fault in faults),
        ", ".join(fault.does for fault in faults),
        "",
        recover,
        places=tuple((place, action, 1) for place, action in actions.items()),
        twice=any(fault.twice for fault in faults),
        chance=False,
    )


AGAIN = "looked at again after the lease"
UNKNOWN = "not started again: it fails as unknown"
NOT_TWICE = frozenset({"succeeded", "failed start_unknown"})
POINTS = [
    point(
        "plain-before-start",
        "A17",
        "before-start",
        "the same where the remote can neither be asked nor told twice",
        UNKNOWN,
        service="plain",
        expected=NOT_TWICE,
    ),
    point(
        "plain-after-start",
        "A18 A19",
        "after-start",
        "SIGKILL between the start and its record there",
        UNKNOWN,
        service="plain",
        expected=NOT_TWICE,
    ),
    point(
        "start-uncommitted",
        "A01",
        "before-row",
        "SIGKILL before a start's commit",
        "the client's second start is the job",
    ),
    point(
        "start-unscheduled",
        "A02",
        "before-seed",
        "SIGKILL between a start's commit and its entry",
        "the reconciler makes the entry",
    ),
    point(
        "start-unsent",
        "A03",
        "before-hand-over",
        "SIGKILL between a start's entry and its message",
        "the hand-off lease ends",
    ),
    point(
        "start-unanswered",
        "A04",
        "after-row",
        "SIGKILL between a start and its answer",
        "the client's second start is the same job",
    ),
    point(
        "start-slow",
        "A02",
        "before-seed",
        "3 s between a start's commit and its entry",
        "made once, by the reconciler",
        action="3",
        most=1,
    ),
    point(
        "start-refused",
        "D08",
        "before-row",
        "the database refuses a start",
        "the client is told, and starts again",
        action="raise",
    ),
    point(
        "join-unanswered",
        "A06",
        "after-join",
        "SIGKILL between joining and the snapshot",
        "the client comes back",
        most=3,
    ),
    point("scheduler-before-lease", "A07", "before-lease", "SIGKILL before a lease", "the other scheduler goes on"),
    point("scheduler-after-lease", "A08", "after-lease", "SIGKILL between lease and send", "the hand-off lease ends"),
    point("scheduler-between", "A09", "before-send", "SIGKILL between two sends", "the hand-off lease ends"),
    point("scheduler-after-send", "A10", "after-send", "SIGKILL after a send", "no effect"),
    point(
        "scheduler-frozen",
        "A13",
        "after-lease",
        "SIGSTOP with a batch in hand, until its leases are over",
        "its batch is refused",
        action="freeze",
    ),
    point("worker-before-renew", "A15", "before-renew", "SIGKILL of a worker before its renew", AGAIN),
    point("worker-after-renew", "A16", "after-renew", "SIGKILL of a worker after its renew", AGAIN),
    point(
        "worker-frozen",
        "A26",
        "after-poll",
        "SIGSTOP with an answer in hand, until its leases are over",
        "what it says then is refused",
        action="freeze",
        twice=True,
        lasts=6,
    ),
    point(
        "worker-before-start",
        "A17",
        "before-start",
        "SIGKILL between the intent and the call",
        "looked for, then started: once",
    ),
    point(
        "worker-after-start",
        "A18 A19",
        "after-start",
        "SIGKILL between the remote's start and its record",
        "found: started once",
    ),
    point(
        "worker-after-remote",
        "A20",
        "after-remote",
        "SIGKILL between the record and the settle",
        "polled, and not started again",
    ),
    point("worker-after-poll", "A22", "after-poll", "SIGKILL with an answer in hand", AGAIN),
    point("worker-before-settle", "A16", "before-settle", "SIGKILL before a settle", AGAIN),
    point("worker-after-settle", "A21", "after-settle", "SIGKILL after a settle", "no effect"),
    point("end-uncommitted", "A22", "before-end", "SIGKILL before an end's commit", "ends with the next look", most=2),
    point(
        "end-unsaid",
        "A24 A25",
        "after-end",
        "SIGKILL between an end's commit and its word",
        "said by the next step",
        most=2,
    ),
    point(
        "end-said",
        "A25",
        "after-tell-end",
        "SIGKILL after clients were told the end",
        "signalled by the next step",
        most=2,
    ),
    point(
        "end-unsettled",
        "A24",
        "before-done",
        "SIGKILL between an end's signal and its settle",
        "signalled again",
        most=2,
    ),
    point("end-settled", "A24", "after-done", "SIGKILL after the last settle", "no effect", most=2),
    point(
        "end-refused", "D06", "before-end", "the database refuses an end once", "tried again", action="raise", most=2
    ),
    point(
        "end-ambiguous",
        "D05",
        "after-end",
        "the connection is lost in an end's commit",
        "one row; signalled by the next step",
        action="raise",
        most=2,
        twice=True,
    ),
    point(
        "start-ambiguous",
        "D05",
        "after-remote",
        "the connection is lost as the remote's name is recorded",
        "polled, and not started again",
        action="raise",
    ),
    point(
        "sweep-late",
        "D13",
        "before-mend",
        "the reconciler takes 3 s from rows to entries",
        "what ended meanwhile is not begun again",
        action="3",
        most=2,
    ),
    point("sweep-killed", "D13", "before-mend", "SIGKILL of a worker in a sweep", "the next sweep goes on", most=2),
]
