"""Delayed, leased, self-rescheduling channel messages; depends on nothing else in ProgRock."""

from .consumer import SelfReschedulingConsumer
from .entry import Again, Done, Entry, Lease, NewEntry, Outcome
from .memory import MemoryStore
from .merge import merge
from .scheduler import HAND_OFF, Scheduler
from .store import DelayStore

__all__ = [
    "HAND_OFF",
    "Again",
    "DelayStore",
    "Done",
    "Entry",
    "Lease",
    "MemoryStore",
    "NewEntry",
    "Outcome",
    "Scheduler",
    "SelfReschedulingConsumer",
    "merge",
]
