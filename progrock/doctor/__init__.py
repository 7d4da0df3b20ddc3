"""The doctor: looks at the running system, and says what is wrong and how to mend it."""

from .finding import Finding, Level
from .looks import examine

__all__ = ["Finding", "Level", "examine"]
