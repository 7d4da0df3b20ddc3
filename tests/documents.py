"""Examples in the documentation, as fixtures: what stands there is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def examples(document: str, label: str) -> list[tuple[str, str]]:
    """Return the fenced JSON blocks of a document that are labelled `label NAME`, as pairs of name and text."""
    text = (ROOT / "docs" / document).read_text()
    return re.findall(rf"^```json {label} (\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def code(document: str, label: str) -> str:
    """Return the fenced Python block of a document that has the label."""
    text = (ROOT / "docs" / document).read_text()
    (block,) = re.findall(rf"^```python {label}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(block)
