"""Writes what a run has seen into the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.chaos.faults import Fault
from tests.chaos.verdict import Verdict

PAGE = Path(__file__).parents[2] / "docs/explanation/faults.md"
BEGIN, END = "<!-- written by make chaos -->", "<!-- end -->"
_HEAD = [
    "| fault | rows | what is done | must be seen | green | longest silence | signalled twice | refused | run |",
    "|---|---|---|---|---|---|---|---|---|",
]


def write(page: Path, faults: Iterable[Fault], seen: Mapping[str, Sequence[Verdict]], run: str) -> None:
    """Put what a run has seen between the page's two marks, in the place of what was seen of the same faults before.

    :param faults: all there are, in the order of the table.
    :param seen: what was seen of some of them, by name.
    :param run: what run it was, for people.
    """
    before, _, rest = page.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    kept = {line.split("`")[1]: line for line in old.splitlines() if line.startswith("| `")}
    rows = [_row(fault, seen[fault.name], run) if fault.name in seen else kept.get(fault.name) for fault in faults]
    lines = [before + BEGIN, "", *_HEAD, *filter(None, rows), "", END + after]
    page.write_text("\n".join(lines))


def _row(fault: Fault, verdicts: Sequence[Verdict], run: str) -> str:
    green = sum(verdict.strikes for verdict in verdicts if not verdict.wrong)
    cells = [
        f"`{fault.name}`",
        fault.rows,
        fault.does,
        fault.seen,
        f"{green} of {sum(verdict.strikes for verdict in verdicts)}",
        f"{max(verdict.silence for verdict in verdicts):.1f} s",
        str(sum(verdict.twice for verdict in verdicts)),
        str(sum(verdict.refused for verdict in verdicts)),
        run,
    ]
    return f"| {' | '.join(cells)} |"
