"""Where a process of a fault test kills, freezes or hurts itself: `FAULT="die after lease 3"`.

That is: an action (die, stop, raise, hang), before or after, what (lease, send, renew, settle, step), and at which
time that this comes by.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

from tests.faults.events import event, tell

_ACTION, _WHEN, _WHAT, _NTH = (os.environ.get("FAULT") or "none - - 0").split()
_seen: Counter[str] = Counter()


class Struck(Exception):
    """What `raise` raises."""


async def strike(when: str, what: str) -> None:
    """Do what the environment says, if this is the place and the time."""
    if (when, what) != (_WHEN, _WHAT):
        return
    _seen[what] += 1
    if _seen[what] != int(_NTH):
        return
    tell(event("struck"))
    if _ACTION == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif _ACTION == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif _ACTION == "hang":
        await asyncio.Event().wait()
    else:
        raise Struck(f"{when} {what}")
