"""What a job leaves behind as its result, if that can be kept."""

from __future__ import annotations

import msgspec

from ..protocol import State
from ..step import Reading, deep

RESULT_MOST = 1 << 20
"""Bytes of JSON that a result may have: it is kept in the job's row, and told to everybody who watches."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def succeeded(result: object) -> Reading:
    """Return the end of a job with its result. Without one that can be kept it is an end all the same, and says so.

    :param result: what its code returned, which may be anything.
    """
    if result is None:
        return Reading(State.SUCCEEDED)
    try:
        text = _encode(result)
        kept = _decode(text) if len(text) <= RESULT_MOST else None
        if kept is not None and not deep(kept):
            return Reading(State.SUCCEEDED, result=kept)
        return Reading(State.SUCCEEDED, message="Done, with a result that is too large to be kept.")
    except (TypeError, ValueError, RecursionError):
        return Reading(State.SUCCEEDED, message="Done, with a result that is no JSON, and not kept.")
