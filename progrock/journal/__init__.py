"""What was said of a job on its way: a bounded list of lines, read by the same cursor as its snapshots."""

from .journal import Extract, Journal
from .memory import MemoryJournal
from .redis import RedisJournal

__all__ = ["Extract", "Journal", "MemoryJournal", "RedisJournal"]
