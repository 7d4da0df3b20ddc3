"""Jobs as progress bars on a terminal; needs rich."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from progrock.protocol import Line, Snapshot, State
from progrock.words import STATES

from . import screen

_STYLES = {State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "yellow", State.CANCELLING: "yellow"}
_LEVELS = {"debug": "dim", "warning": "yellow", "error": "red"}
_BAR = 30
_MOST = 20
"""Bars at once: a terminal is no longer than that. Those that are over make room first."""


class Bars:
    """A bar for each job, drawn again in its place, with the lines of the journals above.

    Everything is given to rich as `Text`, never as a string: strings may have its markup in them.

    :param console: where to; without it, the terminal.
    :param plain: without colours.
    """

    def __init__(self, console: Console | None = None, *, plain: bool = False) -> None:
        self._console = console or _console(plain=plain)
        self._newest: dict[str, Snapshot] = {}
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=10)

    @staticmethod
    def fits() -> bool:
        """Whether the terminal can draw in place."""
        console = _console()
        return console.is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot, lines: Sequence[Line] = ()) -> None:
        for line in lines:
            self._live.console.print(self._text(screen.said(line), _LEVELS.get(line.level, "")))
        known = {**self._newest, snapshot.job: snapshot}
        for job in sorted(known, key=lambda job: not known[job].complete)[: max(0, len(known) - _MOST)]:
            del known[job]
        self._newest = known  # at once: another thread draws

    def _text(self, words: str, style: str = "") -> Text:
        encoding = self._console.encoding
        return Text(words.encode(encoding, "backslashreplace").decode(encoding), style=style)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
        table.add_column(width=_BAR)
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for each in self._newest.values():
            style = _STYLES.get(each.state, "")
            table.add_row(
                self._text(screen.title(each)),
                _bar(each, style),
                self._text(screen.progress(each), style),
                self._text(STATES[each.state], style),
                self._text(screen.time_left(each)),
                self._text(screen.note(each)),
            )
        return table


def _bar(snapshot: Snapshot, style: str) -> ProgressBar:
    known = snapshot.percent is not None or snapshot.complete
    done = 100.0 if snapshot.state is State.SUCCEEDED else snapshot.percent or 0.0
    colour = style or "bar.complete"
    return ProgressBar(
        total=100 if known else None, completed=done, width=_BAR, complete_style=colour, finished_style=colour
    )


def _console(*, plain: bool = False) -> Console:
    # None: as the environment has it.
    return Console(markup=False, emoji=False, highlight=False, no_color=plain or None)
