"""The table that a run writes."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.faults import CHANCE
from tests.chaos.table import BEGIN, END, PAGE, write
from tests.chaos.verdict import Verdict


def test_it_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (fault, other, third, *_) = CHANCE
    page.write_text(f"Before.\n{BEGIN}\nold\n| `{fault.name}` | old |\n| `{third.name}` | kept |\n{END}\nAfter.\n")
    seen = {
        fault.name: [Verdict(silence=1.25, twice=2, strikes=3), Verdict(silence=3.5, wrong=["something"], strikes=1)]
    }
    write(page, [fault, other, third], seen, "seed 1")
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.\n")
    assert "old" not in text
    assert f"| `{fault.name}` |" in text
    assert "| 3 of 4 | 3.5 s | 2 |" in text
    assert f"`{other.name}`" not in text
    assert text.count(f"`{fault.name}`") == 1
    assert f"| `{third.name}` | kept |" in text


def test_the_page_has_its_place() -> None:
    text = PAGE.read_text()
    assert text.index(BEGIN) < text.index(END)
