"""What must be true after a load run: nothing is lost, nothing is done twice, and everybody was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.load.ledger import Ledger

SHOWN = 5
"""Lines that are shown of each kind of trouble."""


@dataclass
class Known:
    """What the site's own stores have, as `inside.py` prints it.

    :param rows: of the jobs of this run.
    :param entries: keys of all entries in the schedule.
    :param endless: keys of Redis that have no time to live.
    :param keys: how many keys Redis has.
    :param remote: the counts of the remote service.
    """

    rows: list[dict[str, Any]]
    entries: frozenset[str]
    endless: frozenset[str]
    keys: int
    remote: dict[str, Any]

    @classmethod
    def read(cls, printed: Mapping[str, Any]) -> Known:
        """Make it from what was printed."""
        return cls(
            list(printed["rows"]),
            frozenset(printed["entries"]),
            frozenset(printed["endless"]),
            printed["keys"],
            printed["stats"],
        )


@dataclass
class Verdict:
    """What was found.

    :param wrong: what must not be, for people.
    :param jobs: how many were accepted.
    :param states: of their rows.
    """

    wrong: list[str] = field(default_factory=list)
    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)

    def say(self, what: str, found: Sequence[str]) -> None:
        """Note some trouble, if there is any."""
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.wrong.append(f"{what}: {'; '.join(found[:SHOWN])}{more}")


def judge(ledgers: Sequence[Ledger], before: Known, after: Known) -> Verdict:
    """Compare what all clients were told with what the site and the remote service know.

    :param ledgers: of all clients, after all is over.
    :param before: what was known before the first start.
    :param after: what is known after the last end.
    """
    verdict = Verdict()
    rows = {row["id"]: row for row in after.rows}
    _rows(verdict, ledgers, after.rows, rows)
    for ledger in ledgers:
        verdict.say("a client saw", ledger.wrong)
        _client(verdict, ledger, rows)
    _remote(verdict, before, after)
    verdict.say("left in the schedule", sorted(after.entries & rows.keys()))
    verdict.say("new in the schedule, and no job of this run", sorted(after.entries - before.entries - rows.keys()))
    verdict.say("keys of Redis without an end", sorted(_new(after.endless, before.endless)))
    return verdict


def _rows(verdict: Verdict, ledgers: Iterable[Ledger], rows: list[dict[str, Any]], by_id: Mapping[str, Any]) -> None:
    """Every accepted job has one row, which has ended well, and every row is of a job that was accepted."""
    accepted = [(key, job) for ledger in ledgers for key, job in ledger.accepted.items()]
    jobs = {job for _, job in accepted}
    verdict.jobs = len(accepted)
    verdict.states.update(_outcome(row) for row in rows)
    keys = Counter(row["key"] for row in rows)
    verdict.say("a key with two rows", [key for key, count in keys.items() if count > 1])
    verdict.say("two starts with one job", [job for job, n in Counter(job for _, job in accepted).items() if n > 1])
    verdict.say("accepted, and without a row", [f"{key}, {job}" for key, job in accepted if job not in by_id])
    verdict.say("a row that nobody was told of", sorted(by_id.keys() - jobs))
    bad = [row for row in rows if _outcome(row) != "succeeded" or not row["finished"]]
    verdict.say("not ended as expected", [f"{row['id']} is {_outcome(row)} ({row['message']})" for row in bad])


def _client(verdict: Verdict, ledger: Ledger, rows: Mapping[str, dict[str, Any]]) -> None:
    """A client's last word of each job is what the row has, and no line of its journal is missing."""
    for job, held in ledger.jobs.items():
        row = rows.get(job)
        if row is None:
            continue  # said above, if it was accepted
        told = f"{held.state} {held.error}".rstrip()
        if told != _outcome(row) or not held.complete:
            verdict.say("a client was told another end", [f"{job}: {told}, not {_outcome(row)}"])
        missing = sorted(set(range(1, row["lines"] + 1)) - held.lines.keys())
        if missing or len(held.lines) != row["lines"]:
            verdict.say(
                "a gap in a journal", [f"{job}: {len(held.lines)} of {row['lines']} lines, without {missing[:5]}"]
            )


def _remote(verdict: Verdict, before: Known, after: Known) -> None:
    """The remote service has run every job once: it knows as many more as were begun, each by a name of its own."""
    begun = sum(row["started"] is not None for row in after.rows)
    new = after.remote["known"] - before.remote["known"]
    if new != begun:
        verdict.wrong.append(f"the remote service ran {new} jobs, not {begun}")
    live = after.remote["live"] - before.remote["live"]
    if live > 0:
        verdict.wrong.append(f"the remote service still runs {live} jobs")
    names = Counter(row["remote"] for row in after.rows if row["remote"])
    verdict.say("two jobs with one remote", [name for name, count in names.items() if count > 1])


def _new(after: Iterable[str], before: Iterable[str]) -> set[str]:
    """Return the keys that are new, but for those of the schedule's own, which are there while it has anything."""
    return {key for key in set(after) - set(before) if not key.startswith("{delay.")}


def _outcome(row: Mapping[str, Any]) -> str:
    return f"{row['state']} {row['error']}".rstrip()
