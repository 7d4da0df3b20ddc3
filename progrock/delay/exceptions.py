"""What the delay scheduler raises on purpose.

DelayError
├── StoreAway           the store does not answer
├── StoreUnfit          the store would lose entries, or is too old
└── InvalidMessage      a message that cannot be sent later as it stands; also a ValueError
    └── NewerMessage    one that was stored by a newer version
"""

from __future__ import annotations


class DelayError(Exception):
    """The root of the tree."""


class StoreAway(DelayError):
    """The store does not answer, or answers that it cannot now."""


class StoreUnfit(DelayError):
    """The store would lose entries, or lacks what it takes to keep them."""


class InvalidMessage(DelayError, ValueError):
    """A message that cannot be sent later as it stands."""


class NewerMessage(InvalidMessage):
    """A message that was stored by a newer version, which this one does not know."""
