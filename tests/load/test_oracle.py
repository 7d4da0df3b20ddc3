"""The bookkeeping of a load run: that it finds what is lost, doubled or left, and accuses nobody wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.load.ledger import Ledger, Line, Seen, Told
from tests.load.oracle import Known, judge


class Run:
    """Two clients of three jobs each that went well, for a test to spoil."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.ledgers = [Ledger(self.seen) for _ in range(2)]
        self.before = self._known([], 7)
        rows = []
        for number in range(6):
            ledger, job = self.ledgers[number % 2], f"job-{number}"
            ledger.connected()
            ledger.accept(f"key-{number}", told(number, 0, 0))
            ledger.push(told(number, 10, 40, "running", journal=[Line(1, "one")], lines=1))
            ledger.connected()
            ledger.answer(told(number, 10, 40, "running", journal=[], lines=1, resume="recovered"))
            ledger.push(told(number, 20, 100, "succeeded", journal=[Line(2, "two")], lines=2))
            row = {"id": job, "key": f"key-{number}", "state": "succeeded", "error": "", "message": ""}
            rows.append({**row, "remote": f"remote-{number}", "lines": 2, "started": "then", "finished": "now"})
        self.after = self._known(rows, 13)

    @staticmethod
    def _known(rows: list[dict[str, Any]], remote: int) -> Known:
        return Known(rows, frozenset({"standing"}), frozenset({"{delay.0}:clock"}), 3, {"known": remote, "live": 0})

    def wrong(self) -> str:
        """Return what is found wrong."""
        return "\n".join(judge(self.ledgers, self.before, self.after).wrong)


def told(number: int, seq: int, progress: int, state: str = "pending", **more: Any) -> Told:
    """Return a snapshot."""
    return Told(job=f"job-{number}", seq=seq, progress=progress, state=state, complete=state == "succeeded", **more)


def test_a_run_that_went_well_is_not_accused() -> None:
    run = Run()
    verdict = judge(run.ledgers, run.before, run.after)
    assert verdict.wrong == []
    assert verdict.jobs == 6
    assert verdict.states == {"succeeded": 6}
    assert run.seen.updates == 12


def _spoil_row(**change: Any) -> Callable[[Run], None]:
    return lambda run: run.after.rows[3].update(change)


def _lose_an_end(run: Run) -> None:
    run.ledgers[0].jobs["job-2"].complete = False


def _lose_a_line(run: Run) -> None:
    del run.ledgers[0].jobs["job-2"].lines[1]


def _run_twice_by_the_remote(run: Run) -> None:
    run.after.remote["known"] += 1


def _never_run_by_the_remote(run: Run) -> None:
    run.after.remote["known"] -= 1


def _leave_an_entry(run: Run) -> None:
    run.after.entries |= {"job-3"}


def _leave_somebodys_entry(run: Run) -> None:
    run.after.entries |= {"nobody's"}


def _leave_a_key(run: Run) -> None:
    run.after.endless |= {"{journal.job-3}:lines"}


def _lose_a_row(run: Run) -> None:
    run.after.rows.pop()


def _double_a_row(run: Run) -> None:
    run.after.rows.append({**run.after.rows[0], "id": "job-7", "remote": "remote-7"})


def _accept_a_start_twice(run: Run) -> None:
    run.ledgers[1].accept("key-1", told(8, 0, 0))


def _accept_two_starts_as_one(run: Run) -> None:
    run.ledgers[1].accepted["key-9"] = "job-1"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_lose_a_row, "accepted, and without a row: key-5, job-5"),
        (_double_a_row, "a key with two rows: key-0"),
        (_double_a_row, "a row that nobody was told of: job-7"),
        (_accept_a_start_twice, "key-1 became two jobs, job-1 and job-8"),
        (_accept_two_starts_as_one, "two starts with one job: job-1"),
        (_spoil_row(state="failed", error="lost"), "not ended as expected: job-3 is failed lost"),
        (_spoil_row(state="failed", error="lost"), "a client was told another end: job-3: succeeded, not failed lost"),
        (_spoil_row(state="running", finished=None), "not ended as expected: job-3 is running"),
        (_lose_an_end, "a client was told another end: job-2"),
        (_lose_a_line, "a gap in a journal: job-2: 1 of 2 lines, without [1]"),
        (_spoil_row(lines=3), "a gap in a journal: job-3: 2 of 3 lines, without [3]"),
        (_run_twice_by_the_remote, "the remote service ran 7 jobs, not 6"),
        (_never_run_by_the_remote, "the remote service ran 5 jobs, not 6"),
        (_spoil_row(remote="remote-0"), "two jobs with one remote: remote-0"),
        (_leave_an_entry, "left in the schedule: job-3"),
        (_leave_somebodys_entry, "new in the schedule, and no job of this run: nobody's"),
        (_leave_a_key, "keys of Redis without an end: {journal.job-3}:lines"),
    ],
)
def test_what_is_lost_doubled_or_left_is_found(spoil: Callable[[Run], None], says: str) -> None:
    run = Run()
    spoil(run)
    assert says in run.wrong()


@pytest.mark.parametrize(
    ("pushed", "says"),
    [
        ([told(0, 10, 40, "running"), told(0, 10, 40, "running")], "job-0: 10 was pushed after 10"),
        ([told(0, 10, 40, "running"), told(0, 9, 30, "running")], "job-0: 9 was pushed after 10"),
        ([told(0, 10, 40, "running"), told(0, 11, 30, "running")], "job-0: progress 30 after 40"),
        ([told(0, 10, 100, "succeeded"), told(0, 11, 100, "succeeded")], "job-0: its end was pushed twice"),
        ([told(0, 10, 100, "succeeded"), told(0, 11, 100, "failed")], "job-0: failed after succeeded"),
        ([told(0, 10, 40, "running", lines=2, journal=[Line(2, "two")])], "job-0: a gap in its journal: [2] of 2"),
        (
            [told(0, 10, 9, lines=1, journal=[Line(1, "a")]), told(0, 11, 9, lines=1, journal=[Line(1, "b")])],
            "line 1 was",
        ),
        ([told(5, 10, 40, "running")], "job-5: nobody here has asked for it"),
    ],
)
def test_what_must_not_be_pushed_is_found(pushed: list[Told], says: str) -> None:
    ledger = Ledger(Seen())
    ledger.connected()
    ledger.accept("key", told(0, 0, 0))
    for each in pushed:
        ledger.push(each)
    assert [line for line in ledger.wrong if says in line], ledger.wrong


def test_an_answer_may_be_older_than_what_was_pushed_and_is_not_accused() -> None:
    ledger = Ledger(Seen())
    ledger.connected()
    ledger.accept("key", told(0, 0, 0))
    ledger.push(told(0, 20, 40, "running"))
    ledger.connected()
    ledger.answer(told(0, 15, 30, "running"))
    ledger.push(told(0, 18, 35, "running"))
    assert ledger.wrong == []
    assert ledger.jobs["job-0"].progress == 35


def test_lateness_is_from_the_time_that_was_promised() -> None:
    ledger = Ledger(seen := Seen())
    ledger.connected()
    ledger.accept("key", told(0, 0, 0))
    ledger.push(told(0, 1_000_000, 1, "running", due=1_200))
    ledger.push(told(0, 1_250_000, 2, "running", due=1_450))
    assert list(seen.late[1::2]) == [50]
    # What was due while it was cut off has gone by: that is not late.
    ledger.connected()
    ledger.answer(told(0, 9_000_000, 3, "running", due=9_200))
    ledger.push(told(0, 9_230_000, 3, "running", due=9_430))
    assert list(seen.late[1::2]) == [50, 30]
