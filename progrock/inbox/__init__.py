"""What own code has said of its jobs, and no step has read yet: of each the newest report, its lines, and its end."""

from .inbox import End, Heard, Inbox, Report, Said
from .memory import MemoryInbox
from .redis import RedisInbox

__all__ = ["End", "Heard", "Inbox", "MemoryInbox", "RedisInbox", "Report", "Said"]
