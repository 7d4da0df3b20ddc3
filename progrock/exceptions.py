"""Everything that ProgRock raises on purpose.

ProgRockError
├── Refused             what was asked for cannot be done; `code` is the protocol's, the message is for people
│   ├── BadFrame
│   ├── UnknownAction
│   ├── Invalid
│   ├── UnknownService
│   ├── InvalidParams
│   ├── NotFound
│   ├── Forbidden
│   ├── NotComplete
│   ├── BadToken
│   ├── SignedOut
│   ├── TooMany
│   └── Unavailable
├── Cancelled           the end of the job that this code does was asked for
└── EngineTaken         embedded mode runs on this database already
"""

from __future__ import annotations


class ProgRockError(Exception):
    """The root of the tree."""


class Refused(ProgRockError):
    """What was asked for cannot be done."""

    code = "refused"


class BadFrame(Refused):
    """A frame that is no JSON object."""

    code = "bad_frame"


class UnknownAction(Refused):
    """An `action` that the protocol does not have."""

    code = "unknown_action"


class Invalid(Refused):
    """A value of the wrong type or size."""

    code = "invalid"


class UnknownService(Refused):
    """A service that is not in the settings."""

    code = "unknown_service"


class InvalidParams(Refused):
    """Parameters that the service does not take."""

    code = "invalid_params"


class NotFound(Refused):
    """A job or a channel that is not there, or not for the caller."""

    code = "not_found"


class Forbidden(Refused):
    """What the caller may know of, and may not do."""

    code = "forbidden"


class NotComplete(Refused):
    """A job that is not over cannot be tried again."""

    code = "not_complete"


class BadToken(Refused):
    """A token that was not made here, or not for this, or too long ago."""

    code = "bad_token"


class SignedOut(Refused):
    """A page that was made for somebody else than who asks."""

    code = "signed_out"


class TooMany(Refused):
    """More than the limits allow.

    :param says: what was expected and what came.
    :param after: seconds after which it is worth while to try again.
    """

    code = "too_many"

    def __init__(self, says: str, *, after: int = 1) -> None:
        super().__init__(says)
        self.after = after


class Unavailable(Refused):
    """Not now: something we need is away."""

    code = "unavailable"


class Cancelled(ProgRockError):
    """The end of the job that this code does was asked for."""


class EngineTaken(ProgRockError):
    """Another process runs the embedded engine on the same database."""
