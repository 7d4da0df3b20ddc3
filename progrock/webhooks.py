"""What a webhook does: its jobs are looked at soon, if it is the service's. Nothing that it says is believed."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from . import registry
from .delay import Entry
from .hooks import Call, Named
from .models import primary
from .standing import run_of
from .step import Policy, Run, soonest

logger = logging.getLogger(__name__)

Outcome = Literal["heard", "repeated", "unknown", "forged", "stale", "malformed", "too long"]

counts: Counter[tuple[str, Outcome]] = Counter()
"""How many webhooks came to what in this process, by service and outcome; `unknown` is one that names no live job."""

_SEEN_MOST = 10_000
_seen: dict[tuple[str, str], None] = {}
"""The newest names of webhooks, by service, oldest first. One that is older than these is past its tolerance, or only
asks for a look that is taken no sooner than any other."""
_said_at = float("-inf")


async def take(service: str, call: Call, job: str | None = None) -> Outcome:
    """Take a webhook and have the jobs that it names looked at.

    :param service: one that has a `HOOK`.
    :param job: the id in the URL; without one the body names the jobs.
    :returns: what came of it.
    :raises StoreAway: if the schedule does not answer; nothing has been done.
    :raises django.db.Error: if the database does not.
    """
    outcome = await _take(service, call, job)
    counts[service, outcome] += 1
    if outcome in ("forged", "stale", "malformed", "too long"):
        _say(service, outcome)
    return outcome


async def _take(service: str, call: Call, job: str | None) -> Outcome:
    hook = registry.hooks()[service]
    if len(call.body) > hook.most:
        return "too long"
    verdict = hook.verify(call, int(time.time()))
    if verdict != "good":
        return verdict
    try:
        named = Named([job]) if job else hook.named(call.body)
    except ValueError:
        return "malformed"
    seen = service, hook.name_of(call)
    if seen in _seen:
        return "repeated"
    if seen[1]:
        _seen[seen] = None  # now: the same may come again while this one is on its way
        if len(_seen) > _SEEN_MOST:
            del _seen[next(iter(_seen))]
    try:
        return "heard" if await _nudge(service, await _keys(service, named)) else "unknown"
    except BaseException:
        _seen.pop(seen, None)  # the sender is told to try again
        raise


async def _keys(service: str, named: Named) -> list[str]:
    """Return the keys of the jobs that are named, whether there are such jobs or not."""
    keys = {key for each in named.jobs if (key := _key(each))}
    remotes = [each for each in named.remotes if 0 < len(each) <= 200 and "\x00" not in each]
    if remotes:
        # As the index has it, which holds live jobs alone.
        rows = primary().filter(service=service, remote__in=remotes, finished__isnull=True).exclude(remote="")
        keys.update([str(pk) async for pk in rows.order_by().values_list("pk", flat=True)])
    return sorted(keys)


def _key(job: str) -> str:
    try:
        return str(uuid.UUID(job))
    except ValueError:
        return ""


async def _nudge(service: str, keys: Sequence[str]) -> int:
    """Have jobs looked at as soon as the policy allows.

    :returns: how many there are, of this service.
    """
    if not keys:
        return 0
    store, policy = registry.store(), registry.policy(service)
    runs = [(entry, run_of(entry)) for entry in await store.peek(keys) if entry is not None]
    mine = [(entry, run) for entry, run in runs if run is not None and run.snapshot.service == service]
    await store.nudge([entry.key for entry, run in mine if not _is_soon(entry, run, policy)])
    return len(mine)


def _is_soon(entry: Entry, run: Run, policy: Policy) -> bool:
    """Whether a job waits for a look that was asked for, or cannot come sooner: here a flood ends."""
    due = run.snapshot.due
    return not entry.held and (entry.stale or (due is not None and due <= soonest(run, policy)))


def _say(service: str, outcome: Outcome) -> None:
    """Say what is wrong with a webhook, one line a second at most: anybody may send them."""
    global _said_at
    now = time.monotonic()
    if now - _said_at >= 1:
        _said_at = now
        logger.warning("A webhook for the service %r is %s (%d so far).", service, outcome, counts[service, outcome])
