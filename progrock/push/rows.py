"""The row of a job that own code does: inserted once, found if it is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, connections, router, transaction
from django.utils import timezone

from .. import counts, quota, registry
from ..access import owner_text
from ..exceptions import NotFound
from ..jobs import available
from ..models import Job, primary
from ..terms import addressees, check_deadline, check_key, check_owner, check_parent, parent_of, take_owner, title_of

SERVICE = "track"
"""The service that they are of; the settings have it by themselves."""
_NAMES = uuid.UUID("5f1f5a3c-9a60-4d3a-8f0e-2f5f4b0c7d11")


def id_of(name: str | uuid.UUID | None) -> uuid.UUID:
    """Return the id of the job that something else knows by a name: a UUID is itself, None is a new one."""
    if name is None:
        return uuid.uuid4()
    try:
        return uuid.UUID(str(name))
    except ValueError:
        return uuid.uuid5(_NAMES, str(name))


def new_row(
    title: str,
    *,
    owner: Any,
    job: str | uuid.UUID | None = None,
    key: str | None = None,
    deadline: int | None = None,
    tell: Sequence[Mapping[str, Any]] = (),
    parent: str | uuid.UUID | None = None,
    weight: float = 1.0,
) -> Job:
    """Return the row of a new job.

    :param owner: a user, a request, or an owner as text; None is the parent's owner.
    :raises Invalid: if owner, key, deadline, tell or weight cannot be one.
    :raises NotFound: if the parent is no id of a job.
    """
    text = "" if owner is None and parent is not None else owner_text(owner)
    if text or parent is None:
        check_owner(text)
    check_key(key)
    check_deadline(deadline)
    return Job(
        id=id_of(job),
        service=SERVICE,
        title=title_of(title),
        owner=text,
        key=key,
        deadline=deadline,
        tell=addressees(tell),
        parent_id=parent_of(parent, weight),
        weight=weight,
    )


def insert(job: Job, then: Callable[[Job], object], *, limited: bool = False) -> Job:
    """Insert a row, or return the one that is there with its key or its id.

    :param then: what follows once it is committed: now, or when the caller's transaction is.
    :param limited: whether its owner may have only so many in a minute.
    :raises TooMany: if this is one more.
    :raises NotFound: if the id is that of somebody else's job, or it or the key of one of another service; or so is
        the parent's.
    :raises Invalid: if the parent is over.
    :raises Unavailable: if the database is away.
    """
    using = router.db_for_write(Job)
    connection = connections[using]
    # A thread that had none before may end without anybody who closes it.
    unused = connection.connection is None
    try:
        with available():
            take_owner(job)
            row = _known(job) or _inserted(job, using, limited=limited)
            if row is job:
                committed(lambda: counts.STARTED.add(registry.label(job.service)), using)
            committed(lambda: then(row), using)
        return row
    finally:
        if unused and not connection.in_atomic_block:
            connection.close()


def committed(then: Callable[[], object], using: str) -> None:
    """Do what follows once all that was written is committed: now, or when the caller's transaction is."""
    transaction.on_commit(then, using)


def _inserted(job: Job, using: str, *, limited: bool) -> Job:
    job.created = job.changed = timezone.now()
    try:
        with transaction.atomic(using):
            check_parent(job)
            if limited:
                quota.check_tracked(job, job.created)
            job.save(force_insert=True)
    except IntegrityError:
        # The same one at the same time, in another process.
        if (row := _known(job)) is None:
            raise
        return row
    return job


def _known(job: Job) -> Job | None:
    row = primary().filter(owner=job.owner, key=job.key).first() if job.key is not None else None
    row = row or primary().filter(pk=job.pk).first()
    if row is not None and (row.owner, row.service) != (job.owner, job.service):
        # Whose it is, or would be, is a token, which is nobody's business.
        expected = "an id and a key that are new, or those of a tracked job of this owner"
        raise NotFound(f"Expected {expected}, got those of {row.pk}.")
    return row
