"""SECURITY.md: each threat has what stops it, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
THREATS = (ROOT / "SECURITY.md").read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]


def test_every_threat_names_tests_that_exist() -> None:
    rows = [row.strip("|").split("|") for row in THREATS.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 35
    for number, threat, stops, shown in rows:
        assert re.fullmatch(r"( G\d\d)? ", number), threat
        assert threat.strip()
        assert stops.strip()
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown)
        assert named, f"{threat}: expected tests, got {shown}"
        assert re.sub(r"`[^`]*`|\s", "", shown) == "", shown
        for path, name in named:
            assert re.search(rf"^ *(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
