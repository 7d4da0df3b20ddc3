"""The page that a load run writes."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.load.director import Act, Span
from tests.load.ledger import Seen
from tests.load.measure import Measure, measure
from tests.load.oracle import Known, Verdict
from tests.load.report import BEGIN, END, PAGE, Run, tell, write
from tests.load.samples import Sample
from tests.load.stack import Use


def _run() -> Run:
    known = Known([], frozenset(), frozenset(), 3, {"known": 2, "live": 0})
    seen = Seen(late=array("d", [1, 10, 2, 20, 7, 900]))
    redis = {"memory": 2**20, "keys": 9, "connections": 4}
    return Run(
        measure=Measure(Path()),
        begin=0,
        verdict=Verdict(jobs=5),
        seen=seen,
        acts=[Act(3, "SIGKILL worker"), Act(4, "SIGKILL delay"), Act(5, "deployment 1: web, drained in 0.4 s", 6)],
        spans=[Span("quiet", 0, 5), Span("kills", 5, 9)],
        samples=[Sample(at, 50, 0.5, {"web": Use(at / 2, 2**21)}, at / 10, redis) for at in (10.0, 20.0)],
        before=known,
        after=replace(known, remote={"known": 7, "live": 0}),
        refused=0,
        missed=0,
    )


def test_it_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n")
    write(page, _run())
    text = page.read_text()
    assert text.startswith(f"Before.\n{BEGIN}\n")
    assert text.endswith(f"{END}\nAfter.\n")
    assert "old\n" not in text


def test_it_tells_what_was_seen() -> None:
    text = tell(_run())
    assert "**Nothing was lost.**" in text
    assert "| run by the remote service | 5 |" in text
    assert "| quiet | 5 | 20 | 20 | 20 | 20 |" in text
    assert "| kills at random | 4 | 900 |" in text
    assert "| web | 0.50 | 2 MiB |" in text
    assert "- SIGKILL: 3 worker, 4 delay\n- 5: deployment 1: web, drained in 0.4 s" in text


def test_it_says_what_was_wrong() -> None:
    run = _run()
    run.verdict.say("a gap in a journal", ["job-1"])
    text = tell(run)
    assert "**1 things were wrong.**\n- a gap in a journal: job-1" in text
    assert "Nothing was lost" not in text


def test_the_page_has_its_place() -> None:
    text = PAGE.read_text()
    assert text.index(BEGIN) < text.index(END)


def test_a_command_line_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(["--compose", ".", "--jobs", "50", "--sockets", "20", "--minutes", "1.5"]).owners == 3
    with pytest.raises(SystemExit):
        measure(["--compose", ".", "--jobs", "10", "--sockets", "20"])
    assert "a job for each socket" in capsys.readouterr().err
