"""Delayed, leased, self-rescheduling channel messages; depends on nothing else in ProgRock."""

from .consumer import SelfReschedulingConsumer
from .door import door
from .entry import Again, Dead, Done, Entry, Lease, NewEntry, Outcome, Reader, Status
from .exceptions import DelayError, InvalidMessage, StoreAway, StoreUnfit
from .memory import MemoryStore
from .merge import merge
from .outbox import remove, remove_sync, send, send_sync, setup
from .redis import RedisStore
from .relay import INTAKE, Relay
from .scheduler import HAND_OFF, Scheduler
from .store import DelayStore
from .worker import Worker

__all__ = [
    "HAND_OFF",
    "INTAKE",
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
    "Relay",
    "Scheduler",
    "SelfReschedulingConsumer",
    "Status",
    "StoreAway",
    "StoreUnfit",
    "Worker",
    "door",
    "merge",
    "remove",
    "remove_sync",
    "send",
    "send_sync",
    "setup",
]
