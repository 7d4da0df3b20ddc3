"""Delayed, leased, self-rescheduling channel messages; depends on nothing else in ProgRock."""

from .consumer import SelfReschedulingConsumer
from .entry import Again, Dead, Done, Entry, Lease, NewEntry, Outcome, Reader, Status
from .exceptions import DelayError, InvalidMessage, StoreAway, StoreUnfit
from .memory import MemoryStore
from .merge import merge
from .redis import RedisStore
from .scheduler import HAND_OFF, Scheduler
from .store import DelayStore
from .worker import Worker

__all__ = [
    "HAND_OFF",
    "Again",
    "Dead",
    "DelayError",
    "DelayStore",
    "Done",
    "Entry",
    "InvalidMessage",
    "Lease",
    "MemoryStore",
    "NewEntry",
    "Outcome",
    "Reader",
    "RedisStore",
    "Scheduler",
    "SelfReschedulingConsumer",
    "Status",
    "StoreAway",
    "StoreUnfit",
    "Worker",
    "merge",
]
