"""What all processes know together so as not to bother a service: how many calls it has had, and who watches."""

from .limits import PROMISE_MOST, Answer, Ask, Limits
from .memory import MemoryAudience, MemoryLimits
from .redis import RedisAudience, RedisLimits, scripts
from .watched import Audience, end_topic, topic

__all__ = [
    "PROMISE_MOST",
    "Answer",
    "Ask",
    "Audience",
    "Limits",
    "MemoryAudience",
    "MemoryLimits",
    "RedisAudience",
    "RedisLimits",
    "end_topic",
    "scripts",
    "topic",
]
