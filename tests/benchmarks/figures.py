"""What the figures of all benchmarks share."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(ordered: Sequence[int], part: float) -> float:
    """Return the value in milliseconds that `part` of the values in microseconds do not exceed."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1000, 1)
