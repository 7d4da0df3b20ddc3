"""What jobs look like: words, JSON and bars, and nothing in them that a terminal would obey."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management.base import OutputWrapper
from rich.console import Console

from progrock.management import screen as screens
from progrock.management.bars import Bars
from progrock.management.screen import Json, Screen, Words, screen
from progrock.protocol import Failure, Line, Snapshot, State

EVIL = "[bold red]x[/] :smile: \x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r\n"


def snapshot(**more: Any) -> Snapshot:
    return Snapshot(**{"job": "j", "service": "s", "title": "T", "state": State.RUNNING, "created": 0, **more})


def drawn(*snapshots: Snapshot, lines: tuple[Line, ...] = (), encoding: str = "utf-8") -> str:
    """Return what bars write."""

    class File(StringIO):
        @property
        def encoding(self) -> str:  # type: ignore[override]
            return encoding

    file = File()
    console = Console(
        file=file, force_terminal=True, color_system=None, width=160, height=50, markup=False, emoji=False
    )
    with Bars(console) as bars:
        for each in snapshots:
            bars.show(each, lines)
    return file.getvalue()


def written(shown: type[Words] | type[Json], *snapshots: Snapshot, lines: tuple[Line, ...] = ()) -> str:
    """Return what lines say."""
    file = StringIO()
    out = OutputWrapper(file)
    screen: Screen = Words(out, named=False) if shown is Words else Json(out)
    with screen:
        for each in snapshots:
            screen.show(each, lines)
    return file.getvalue()


HOSTILE = snapshot(title=EVIL, message=EVIL, service=EVIL, result={"a": EVIL, "\x9b": "\x7f"})
EVIL_LINE = Line(EVIL, EVIL, data=EVIL, n=1)


@pytest.mark.parametrize("shown", [Words, Json])
def test_nothing_in_a_line_is_obeyed(shown: type[Words] | type[Json]) -> None:
    out = written(shown, HOSTILE, snapshot(state=State.FAILED, error=Failure("x", EVIL)), lines=(EVIL_LINE,))
    assert "owned" in out
    assert out.replace("\n", "").isprintable()
    assert len(out.splitlines()) == (4 if shown is Words else 2)


def test_nothing_in_a_bar_is_obeyed() -> None:
    out = drawn(HOSTILE, lines=(EVIL_LINE,))
    assert "[bold red]x[/] :smile:" in out
    assert not {"\x07", "\x9b", "\u202e"} & set(out)
    # Of those that rich itself writes, none is followed by what the remote says.
    assert "\x1b]" not in out
    assert "\x1b[2J" not in out


def test_a_bar_says_how_far_it_is_and_what_goes_on() -> None:
    out = drawn(snapshot(percent=42.0, left=20_000, message="Mixing"))
    assert re.search(r" 42 %  Running  about 20 s left  Mixing", out)


def test_a_terminal_that_knows_few_characters_gets_those() -> None:
    drawn(snapshot(title="Ωμέγα"), encoding="ascii").encode("ascii")

    class Latin(StringIO):
        encoding = "latin-1"

    file = Latin()
    screens.write(OutputWrapper(file), "Ωμέγα é")
    assert file.getvalue() == "\\u03a9\\u03bc\\u03ad\\u03b3\\u03b1 é\n"


def test_those_that_are_over_make_room() -> None:
    over = [snapshot(job=f"over {n}", title=f"over-{n}", state=State.SUCCEEDED) for n in range(30)]
    out = drawn(snapshot(title="alive"), *over)
    last = out.rpartition("alive")[2]
    assert last.count("over-") == 19
    assert "over-29" in last


def test_words_are_said_once() -> None:
    out = written(Words, snapshot(percent=1.0), snapshot(percent=1.2, left=5_000), snapshot(percent=2.0))
    assert out.splitlines() == ["Running  1 % T", "Running  2 % T"]


def test_json_is_what_clients_get() -> None:
    said = json.loads(written(Json, snapshot(percent=5.0), lines=(Line("one", n=1),)))
    assert (said["progress"], said["complete"], said["journal"][0]["text"]) == (5, False, "one")


def test_who_reads_nothing_but_lines_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    out = OutputWrapper(StringIO())
    assert isinstance(screen(out, as_json=False), Words)
    assert isinstance(screen(out, as_json=True), Json)
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(screen(out, as_json=False), Bars)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(screen(out, as_json=False), Words)


def test_without_rich_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = OutputWrapper(StringIO())
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "progrock.management.bars")
    assert isinstance(screen(out, as_json=False), Words)


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"message": "Mixing"}, "Mixing"),
        ({"message": "Mixing", "misses": 2}, "No answer, asking again"),
        ({"message": "Mixing", "stalled": True}, "Mixing (nothing moves)"),
        ({"state": State.FAILED, "error": Failure("remote", "")}, "The service reports a failure."),
        ({"state": State.FAILED, "error": Failure("own", "")}, "No reason was given."),
    ],
)
def test_a_note_says_what_matters_most(more: dict[str, Any], note: str) -> None:
    assert screens.note(snapshot(**more)) == note


@pytest.mark.parametrize(
    ("ms", "words"), [(0, "1 s"), (20_000, "20 s"), (120_000, "2 min"), (7_200_000, "2 h"), (259_200_000, "3 d")]
)
def test_a_duration_has_one_unit(ms: int, words: str) -> None:
    assert screens.span(ms) == words
