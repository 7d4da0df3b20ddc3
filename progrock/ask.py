"""How the rights are asked: of which job, for how long, and what counts as a yes."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import Error as DatabaseTrouble

from .delay import StoreAway
from .exceptions import Unavailable
from .logs import named
from .models import Job
from .protocol import Snapshot, State

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that code of the project's has for an answer."""


@dataclass(frozen=True)
class JobRef:
    """What is known of a job where it is asked who may what with it.

    :param owner: whose it is, as text: `user:<pk>`, `session:<token>`.
    :param parent: the id of the job that it is a child of.
    """

    id: str
    owner: str
    service: str
    parent: str | None
    state: State


def ref_of(owner: str, snapshot: Snapshot) -> JobRef:
    """Return what is known of a job by its snapshot."""
    return JobRef(snapshot.job, owner, snapshot.service, snapshot.parent, snapshot.state)


def ref_of_row(row: Job) -> JobRef:
    """Return what is known of a job by its row."""
    parent = str(row.parent_id) if row.parent_id else None
    return JobRef(str(row.pk), row.owner, row.service, parent, State(row.state))


async def answer_of(function: Any, *args: Any, **more: Any) -> object:
    """Call code of the project's, whether it is written with `async` or not, and return what it says.

    :raises TimeoutError: if it takes too long. What it raises is passed on.
    """
    async with asyncio.timeout(PATIENCE):
        answer = await (function if iscoroutinefunction(function) else sync_to_async(function))(*args, **more)
        return await answer if inspect.isawaitable(answer) else answer


async def ask(verb: Any, caller: Any, about: JobRef | str) -> bool:
    """Ask one verb of a class of rights, whether it is written with `async` or not.

    :param caller: who asks, a :class:`~progrock.caller.Caller`.
    :param about: what they ask for: a job, a service, or an owner.
    :returns: whether it said True.
    :raises Unavailable: if it cannot in time, or because the database is away.
    """
    try:
        return await answer_of(verb, caller, about) is True
    except (DatabaseTrouble, StoreAway, Unavailable, TimeoutError) as error:
        # Nobody has said no: who is told "not found" would drop what is theirs. Much of the time may have gone by in a
        # queue, when many are asked about at once.
        logger.warning("Whether %s may %s cannot be asked: %r", named(caller.owner), verb.__name__, error)
        raise Unavailable("Expected an answer of the rights, and of their database. Try again later.") from error
    except Exception as error:
        logger.error("Whether %s may %s cannot be said: no.", named(caller.owner), verb.__name__, exc_info=error)
        return False
