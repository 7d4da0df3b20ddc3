"""What a process counts, for whoever watches over it: counters, gauges and histograms, and those of the delay."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

Labels = tuple[str, ...]
Sample = tuple[str, Sequence[tuple[str, str]], float]
"""What is appended to the name, labels and their values, the value."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
"""Where histograms of seconds have their bounds; 5 and 15 are the leases'."""

registered: dict[str, Counter | Histogram] = {}
"""All that this process counts, by name."""


class Counter:
    """A number for each combination of labels, which only grows.

    Whoever counts sees to it that a label has few values: each combination is kept for ever.

    :param name: unique in the process.
    :param says: what is counted, in one line.
    :param labels: their names.
    """

    kind = "counter"

    def __init__(self, name: str, says: str, *labels: str) -> None:
        if name in registered:
            raise ValueError(f"Expected a name that is not taken, got {name!r}.")
        self.name = name
        self.says = says
        self.labels = labels
        self._values: dict[Labels, float] = {} if labels else {(): 0}
        # Starts may come from any thread.
        self._lock = threading.Lock()
        registered[name] = self

    def add(self, *labels: str, by: float = 1) -> None:
        """Count.

        :param labels: their values, in the order of their names.
        """
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def value(self, *labels: str) -> float:
        """Return what was counted for these labels; 0 if nothing was."""
        return self._values.get(labels, 0)

    def samples(self) -> Iterator[Sample]:
        """Yield what was counted."""
        with self._lock:
            values = list(self._values.items())
        for labels, value in values:
            yield "", list(zip(self.labels, labels, strict=True)), value


class Gauge(Counter):
    """A number that goes up and down."""

    kind = "gauge"


class Histogram:
    """How many values are at most as large as each bound, and their sum, for each combination of labels.

    :param name: unique in the process.
    :param says: what is measured, in one line.
    :param labels: their names.
    :param bounds: increasing, in the unit of the values.
    """

    kind = "histogram"

    def __init__(self, name: str, says: str, *labels: str, bounds: Sequence[float] = SECONDS) -> None:
        if name in registered:
            raise ValueError(f"Expected a name that is not taken, got {name!r}.")
        self.name = name
        self.says = says
        self.labels = labels
        self._bounds = tuple(bounds)
        # By labels, how many values are in each bucket, those above all bounds in the last but one; then the sum.
        self._cells: dict[Labels, list[float]] = {} if labels else {(): self._new()}
        self._lock = threading.Lock()
        registered[name] = self

    def observe(self, values: Iterable[float], *labels: str) -> None:
        """Take values in.

        :param labels: their values, in the order of their names.
        """
        bounds = self._bounds
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = self._new()
            for value in values:
                cell[bisect_left(bounds, value)] += 1
                cell[-1] += value

    def count(self, *labels: str) -> float:
        """Return how many values were taken in for these labels."""
        return sum(self._cells.get(labels, self._new())[:-1])

    def samples(self) -> Iterator[Sample]:
        """Yield what was measured: buckets that count all below, their number and their sum."""
        with self._lock:
            cells = [(labels, list(cell)) for labels, cell in self._cells.items()]
        for labels, cell in cells:
            named = list(zip(self.labels, labels, strict=True))
            below = 0.0
            for bound, many in zip((*map(repr, self._bounds), "+Inf"), cell, strict=False):
                below += many
                yield "_bucket", [*named, ("le", bound)], below
            yield "_count", named, below
            yield "_sum", named, cell[-1]

    def _new(self) -> list[float]:
        return [0.0] * (len(self._bounds) + 2)


LATENESS = Histogram("progrock_lateness_seconds", "How long after its due time an entry was sent.")
LEASES_LOST = Counter("progrock_leases_lost_total", "Leases that were lost while their step went on.")
RENEWS_REFUSED = Counter("progrock_renews_refused_total", "Leases that came too late, or twice, and were not taken.")
SETTLES_REFUSED = Counter("progrock_settles_refused_total", "Outcomes that were dropped: somebody else had the lease.")
REDELIVERIES = Counter("progrock_redeliveries_total", "Leases taken whose look before was lost, or failed.")
