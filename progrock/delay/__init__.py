"""Delayed, leased, self-rescheduling channel messages; depends on nothing else in ProgRock."""

from .consumer import SelfReschedulingConsumer
from .entry import Again, Done, Entry, Lease, NewEntry, Outcome
from .memory import MemoryStore
from .scheduler import Scheduler
from .store import DelayStore

__all__ = [
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
]
