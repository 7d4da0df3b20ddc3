"""What must be true after a fault, whatever it was."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.audience import Audience
from tests.faults.events import Event

SHOWN = 3
"""Lines that are shown of each kind of trouble."""


@dataclass
class Verdict:
    """What was seen of one fault."""

    wrong: list[str] = field(default_factory=list)
    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    """Jobs whose end was signalled more than once."""
    silence: float = 0.0
    """The longest time that a client heard nothing new of an unfinished job, in seconds."""
    lines: int = 0
    """How many lines of journals clients have read."""
    refused: int = 0
    """Receipts that the store refused: work that somebody else had taken over."""
    seconds: float = 0.0
    strikes: int = 0
    """How often the fault struck."""

    def say(self, what: str, found: list[str]) -> None:
        """Note some trouble."""
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.wrong.append(f"{what}: {'; '.join(found[:SHOWN])}{more}")


def ends(verdict: Verdict, audience: Audience, rows: list[dict[str, Any]], expected: frozenset[str]) -> None:
    """Every accepted job has one row, which has ended as expected, and every client was told so."""
    by_id = {row["id"]: row for row in rows}
    accepted = {key: job for client in audience.starters for key, job in client.accepted.items()}
    verdict.jobs = len(accepted)
    verdict.states.update(_outcome(row["state"], row["error"]) for row in rows)
    counts = Counter(row["key"] for row in rows)
    verdict.say("a key with two rows", [key for key, count in counts.items() if count > 1])
    verdict.say("accepted, and without a row", [job for job in accepted.values() if job not in by_id])
    verdict.say("a row that nobody was told of", sorted(set(by_id) - set(accepted.values())))
    verdict.say(
        "not ended as expected",
        [
            f"{row['id']} is {_outcome(row['state'], row['error'])} ({row['message']})"
            for row in rows
            if _outcome(row["state"], row["error"]) not in expected or not row["finished"]
        ],
    )
    for client in audience.clients:
        verdict.say("a client saw", client.wrong)
        verdict.say("a client waits for", [client.waits_for] if not client.over else [])
        told = {job: _outcome(held.state, held.error) for job, held in client.jobs.items()}
        meant = {job: _outcome(by_id[job]["state"], by_id[job]["error"]) for job in told if job in by_id}
        verdict.say(
            "a client was told another end",
            [f"{job}: {told[job]}, not {meant[job]}" for job in meant if told[job] != meant[job]],
        )
        verdict.lines += sum(len(held.lines) for held in client.jobs.values())
        verdict.silence = max([verdict.silence, *(held.silence for held in client.jobs.values())])
    verdict.say("a tab broke", audience.broken())


def signals(verdict: Verdict, events: list[Event], jobs: set[str], killed: set[int], *, twice: bool) -> None:
    """The end of every job was signalled: once, or again if who did it before was killed.

    :param killed: the ids of the processes that were.
    :param twice: who signalled may not have been able to say that it had.
    """
    told: dict[str, list[int]] = defaultdict(list)
    for each in events:
        if each.what == "finished" and each.key in jobs:
            told[each.key].append(each.pid)
    verdict.say("ended without a signal", sorted(jobs - set(told)))
    verdict.twice = sum(len(pids) > 1 for pids in told.values())
    if not twice:
        verdict.say("signalled twice", sorted(job for job, pids in told.items() if not killed.issuperset(pids[:-1])))


def fencing(verdict: Verdict, events: list[Event], jobs: set[str]) -> None:
    """No receipt was taken that had been made void by a later lease.

    Each thing happened between when it was asked for and when it was known, so this accuses nobody wrongly.
    """
    by_key: dict[str, list[Event]] = defaultdict(list)
    for each in events:
        if each.key in jobs:
            by_key[each.key].append(each)
    found = []
    for key, mine in by_key.items():
        leases = [each for each in mine if each.what == "leased"]
        givers = {each.receipt: each for each in mine if each.what in ("leased", "renewed", "scheduled")}
        for each in mine:
            giver = givers.get(each.given)
            if each.what not in ("renewed", "settled", "done") or giver is None:
                continue
            later = [lease for lease in leases if giver.at < lease.asked and lease.at < each.asked]
            if later:
                late = (each.asked - later[-1].at) // 1_000_000
                found.append(f"{key} was {each.what} by {each.pid}, {late} ms after another had got it")
    verdict.say("an old receipt was taken", found)


def refusals(verdict: Verdict, events: list[Event], jobs: set[str], *, keeps: bool) -> None:
    """Receipts that were refused are counted; where no worker may lose what it holds, no run is begun again."""
    mine = [each for each in events if each.key in jobs]
    verdict.refused = sum(each.what == "refused" for each in mine)
    if keeps:
        again = {each.key for each in mine if each.what == "leased" and each.attempt > 1}
        verdict.say("a worker lost what it held", sorted(again))


def scheduled(verdict: Verdict, events: list[Event], jobs: set[str]) -> None:
    """Every job was put into the schedule once."""
    counts = Counter(each.key for each in events if each.what == "scheduled" and each.key in jobs)
    verdict.say("scheduled more than once", sorted(job for job, count in counts.items() if count > 1))


def remote(verdict: Verdict, before: dict[str, Any], after: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The remote service has run each job once that was begun, or at most once if nobody can know.

    It keeps what it knows over a restart, so what it knows more than before is what it was started with.
    """
    known = after["known"] - before["known"]
    unknown = sum(row["error"] == "start_unknown" for row in rows)
    # Some are cancelled before they begin, some when a worker has written down that it begins them, and died of it.
    unknown += sum(row["state"] == "cancelled" and row["started"] is not None and not row["remote"] for row in rows)
    begun = sum(row["started"] is not None for row in rows)
    if not begun - unknown <= known <= begun:
        verdict.wrong.append(f"the remote ran {known} jobs, not {begun}, of {unknown} of which nobody knows")
    remotes = [row["remote"] for row in rows if row["remote"]]
    verdict.say("two jobs with one remote", [name for name, count in Counter(remotes).items() if count > 1])


def _outcome(state: str, error: str) -> str:
    return f"{state} {error}" if error else state
