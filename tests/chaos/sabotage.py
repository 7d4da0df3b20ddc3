"""What each promise rests on, and the fault that shows that it is missing."""

from __future__ import annotations

from tests.chaos.faults import CHANCE, Fault
from tests.chaos.places import POINTS

_BY_NAME = {fault.name: fault for fault in [*CHANCE, *POINTS]}

SABOTAGE: dict[str, Fault] = {
    "fencing": _BY_NAME["worker-frozen"],
    "insert-only": _BY_NAME["start-slow"],
    "renew": _BY_NAME["remote-slow"],
    "nudge": _BY_NAME["cancel"],
    "reconciler": _BY_NAME["redis-flushed"],
}
"""By what is switched off; see `project/sabotage.py`."""
