"""What is done for a tracked Celery task at each of its signals: where it is queued, and in a worker."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextvars import copy_context
from typing import Any

import msgspec
from celery import Celery, current_task
from celery.exceptions import Reject

from .. import push, registry
from ..aside import anywhere
from ..delay import door, trouble
from ..exceptions import Cancelled, NotFound
from ..models import primary
from ..push.reporter import reporter
from ..services.results import succeeded
from .celery import HEADER
from .celery_live import LIVE, extend
from .celery_words import IGNORED, REVOKED, retried, said_by
from .owned import Call, Terms, terms_of

logger = logging.getLogger(__name__)


class Tracking:
    """What Celery's signals do for the tasks of one app. Nothing here may fail a task."""

    def __init__(
        self, app: Celery, owner: Call | None, title: Call | None, names: Collection[str] | None, interrupt: bool
    ) -> None:
        self._app = app
        self._owner = owner
        self._title = title
        self._names = None if names is None else frozenset(names)
        self._interrupt = interrupt
        self._again: set[str] = set()
        """The ids of tasks that this process is at and has queued again: to be tried again, or as another task."""

    # Where a task is queued.

    def before_publish(self, sender: str, headers: dict[str, Any], body: Any, **_: Any) -> None:
        try:
            args, kwargs = body[:2] if isinstance(body, tuple | list) else ((), {})
            given = headers.get(HEADER)
            terms = self._asked(sender, tuple(args), kwargs, None if given is None else _terms(given))
            if terms is None:
                headers.pop(HEADER, None)
            else:
                headers[HEADER] = msgspec.to_builtins(terms)
        except Exception as error:
            headers.pop(HEADER, None)
            trouble.say(logger, "Celery's task %s is not tracked: %r", sender, error)

    def after_publish(self, sender: str, headers: dict[str, Any], **_: Any) -> None:
        if headers.get("id") in LIVE:
            self._again.add(headers["id"])
        # Not before: what cannot be queued would be a job for which nobody comes.
        elif HEADER in headers and not headers.get("retries"):
            try:
                terms = _terms(headers[HEADER])
                more: Any = {"job": headers["id"], "deadline": terms.deadline, "tell": terms.tell}
                push.queued(terms.title, owner=terms.owner, **more)
            except Exception as error:
                trouble.say(logger, "Celery's task %s is tracked late: %r", sender, error)

    def _asked(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: Terms | None = None
    ) -> Terms | None:
        """Return what is said of a task that is about to be queued, None if it is not tracked."""
        if name.startswith("celery.") if self._names is None else name not in self._names:
            return None
        queued_by = _header_of(getattr(current_task, "request", None))
        whose = queued_by.owner if queued_by else ""
        ways: Any = {"given": given, "inherited": whose, "owner": self._owner, "title": self._title}
        # A view may be async, and who asks it only be known to the database.
        context = copy_context()
        return anywhere(lambda: context.run(terms_of, (name, args, kwargs), **ways))

    # In a worker.

    def prepare(self, sender: Any, **_: Any) -> None:
        if sender.app is self._app:
            for task in sender.app.tasks.values():
                extend(type(task))

    def begin(self, task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
        request = task.request
        try:
            terms = _header_of(request)
            if terms is None and request.is_eager:
                terms = self._asked(task.name, tuple(args or ()), kwargs or {})
            if terms is None:
                return
            job = self._begun(task_id, terms)
            if request.retries:
                job.report(message=f"Attempt {request.retries + 1}.")
            elif (request.delivery_info or {}).get("redelivered"):
                job.report(message="")  # what it waited for is over
            LIVE[task_id] = job
        except Exception as error:
            trouble.say(logger, "Celery's task %s is not tracked: %r", task_id, error)

    def _begun(self, task_id: str, terms: Terms) -> push.Tracked:
        more: Any = {"job": task_id, "deadline": terms.deadline, "tell": terms.tell, "interrupt": self._interrupt}
        try:
            return push.track(terms.title, owner=terms.owner, **more).__enter__()
        except NotFound:
            # Its owner has logged in since it was queued.
            return push.track(terms.title, owner=_owner_of(task_id), **more).__enter__()

    def end(self, task_id: str, task: Any, state: str | None, retval: Any, **_: Any) -> None:
        job = LIVE.pop(task_id, None)
        # Without a state its process is being ended: whoever does that says why, and if nobody does, it falls silent.
        if state is None:
            return
        if job is None and (terms := _header_of(task.request)):
            # When it began, the database was away.
            try:
                job = self._begun(task_id, terms)
            except Exception as error:
                trouble.say(logger, "The end of Celery's task %s is not told: %r", task_id, error)
        if job is None:
            return
        again = task_id in self._again
        self._again.discard(task_id)
        try:
            self._end(job, state, retval, again)
        except Exception as error:
            trouble.say(logger, "The end of Celery's task %s is not told: %r", task_id, error)
            job.fail("How it ended cannot be told.")
        job.__exit__(None, None, None)

    def _end(self, job: push.Tracked, state: str, retval: Any, again: bool) -> None:
        if state == "SUCCESS":
            # Whatever it returns: a result that is no JSON is no reason to fail.
            reading = succeeded(retval)
            job.complete(reading.result, reading.message)
        elif state == "RETRY":
            job.rest(retried(retval))
        elif isinstance(retval, Reject) and retval.requeue:
            job.rest("It was given back to its queue.")
        elif state == "IGNORED" and again:
            job.rest("Waiting for its turn.")
        elif state == "IGNORED":
            job.stop(IGNORED)
        elif isinstance(retval, Cancelled):
            job.stop()
        else:
            job.fail(said_by(retval))

    def lost(self, task_id: str, exception: BaseException, **_: Any) -> None:
        """Of a failure that the process hears of which watches over those that do tasks: one was killed."""
        if task_id not in LIVE:
            try:
                # What Celery says of a task that took too long is no more than its id.
                if _was_heard(str(push.id_of(task_id))):
                    push.fail(push.id_of(task_id), said_by(exception))
            except Exception as error:
                trouble.say(logger, "The end of Celery's task %s is not told: %r", task_id, error)

    def revoked(self, request: Any, terminated: bool = False, expired: bool = False, **_: Any) -> None:
        if _header_of(request):
            why = "terminated" if terminated else "expired" if expired else "revoked"
            try:
                push.stop(push.id_of(request.id), REVOKED[why])
            except Exception as error:
                trouble.say(logger, "The end of Celery's task %s is not told: %r", request.id, error)

    def finish(self, **_: Any) -> None:
        # Celery's processes end without Python's own farewell.
        reporter().finish()


async def _aheard(job: str) -> bool:
    (said,) = await registry.inbox().read([job])
    return said is not None


_was_heard = door(_aheard, registry.aclose)


def _owner_of(task: str) -> str:
    """Return whose job a task is.

    :raises NotFound: if it is none.
    """
    owner = primary().filter(pk=push.id_of(task)).values_list("owner", flat=True).first()
    if owner is None:
        raise NotFound(f"Expected the id of a tracked task, got {task}.")
    return owner


def _terms(header: Any) -> Terms:
    """Return what a message's header says.

    :raises msgspec.ValidationError: if it says nothing that makes sense.
    """
    return msgspec.convert(header, Terms)


def _header_of(request: Any) -> Terms | None:
    """Return what was said of a task when it was queued, None if it is not tracked."""
    header = (getattr(request, "headers", None) or {}).get(HEADER)
    try:
        return None if header is None else _terms(header)
    except msgspec.ValidationError:
        return None
