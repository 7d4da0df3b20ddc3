"""Writes what a run has seen into the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.chaos.faults import Fault
from tests.chaos.verdict import Verdict

PAGE = Path(__file__).parents[2] / "docs/explanation/faults.md"
BEGIN, END = "<!-- written by make chaos -->", "<!-- end -->"


def write(page: Path, faults: Iterable[Fault], seen: Mapping[str, Sequence[Verdict]], run: str) -> None:
    """Put the table of a run between the page's two marks.

    :param run: what run it was, for people.
    """
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [_row(fault, seen[fault.name]) for fault in faults if fault.name in seen]
    head = [
        f"The last run: {run}.",
        "",
        "| fault | rows | what is done | must be seen | green | longest silence | signalled twice | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    page.write_text("\n".join([before + BEGIN, "", *head, *rows, "", END + after]))


def _row(fault: Fault, verdicts: Sequence[Verdict]) -> str:
    green = sum(not verdict.wrong for verdict in verdicts)
    cells = [
        f"`{fault.name}`",
        fault.rows,
        fault.does,
        fault.seen,
        f"{green} of {len(verdicts)}",
        f"{max(verdict.silence for verdict in verdicts):.1f} s",
        str(sum(verdict.twice for verdict in verdicts)),
        str(sum(verdict.refused for verdict in verdicts)),
    ]
    return f"| {' | '.join(cells)} |"
