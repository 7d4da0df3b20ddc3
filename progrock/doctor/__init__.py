"""The doctor: looks at the running system, and says what is wrong and how to mend it."""

from .looks import examine
from .finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
