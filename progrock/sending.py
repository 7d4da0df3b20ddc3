"""How each kind of addressee is told of a job's end: once, and what came of it."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import connections
from django.template.exceptions import TemplateDoesNotExist
from django.template.loader import get_template, render_to_string
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from .access import aemail_of
from .aside import Aside, Full
from .delay.finish import stopping
from .environment import fill
from .models import Delivery, Job
from .post import NotPublic, post
from .protocol import Snapshot, hook_body
from .services.client import retry_after
from .signing import key, sign
from .tell import OWNER, Addressee, check_url, is_allowed, keys_of

logger = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds that an e-mail or a function of yours has."""
_threads = Aside(32)


class Unsent(msgspec.Struct, frozen=True):
    """That an addressee was not told, or did not say so.

    :param why: one line for people, with no secret in it.
    :param again: milliseconds that they ask us to wait.
    :param final: whether to try again is of no use.
    """

    why: str
    again: int | None = None
    final: bool = False


async def send(
    delivery: Delivery, job: Job, snapshot: Snapshot, addressee: Addressee, *, declared: bool, allow: Collection[str]
) -> Unsent | None:
    """Tell an addressee; None if that was done. Raises nothing but what stops the step.

    :param declared: whether the settings have named it, and not a start.
    :param allow: hosts that a start may name though they are not public.
    """
    try:
        if addressee.kind == "webhook":
            return await _webhook(delivery, job, snapshot, addressee, declared=declared, allow=allow)
        async with asyncio.timeout(TIMEOUT):
            if addressee.kind == "email":
                return await _email(delivery, job, snapshot, addressee)
            return await _call(delivery, snapshot, addressee)
    except TimeoutError:
        return Unsent("It took too long.")
    except (Exception, asyncio.CancelledError) as error:
        if stopping(error):
            raise
        # Not what it says: an address with a password may be in it.
        logger.error("Delivery %s failed: %s", delivery.pk, type(error).__name__)
        return Unsent(f"It failed with {type(error).__name__}.")


async def _webhook(
    delivery: Delivery, job: Job, snapshot: Snapshot, addressee: Addressee, *, declared: bool, allow: Collection[str]
) -> Unsent | None:
    url = fill(addressee.webhook) if declared else addressee.webhook
    if not declared:
        try:
            check_url(url, allow)  # once more: the settings may have changed
        except ValueError as error:
            return Unsent(f"It may not be called: {error}.", final=True)
    keys = keys_of(addressee) if declared else [key(secret) for secret in secrets_of(job.owner)]
    body = hook_body(snapshot, (job.finished or datetime.now(UTC)).astimezone(UTC).isoformat())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ProgRock",
        **sign(keys, str(delivery.pk), int(time.time()), body),
    }
    try:
        answer = await post(url, body, headers, anywhere=declared or is_allowed(urlsplit(url), allow))
    except NotPublic:
        return Unsent("It may not be called: its name leads to an address that is not public.", final=True)
    except TimeoutError:
        return Unsent("It did not answer in time.")
    except aiohttp.InvalidURL:
        return Unsent("It may not be called: its URL makes no sense.", final=True)
    except aiohttp.ClientSSLError:
        return Unsent("Its TLS is not good.")
    except aiohttp.ClientConnectorDNSError:
        return Unsent("Its name is not known.")
    except (aiohttp.ClientConnectionError, OSError):
        return Unsent("It cannot be reached.")
    except aiohttp.ClientError:
        return Unsent("Its answer made no sense.")
    if 200 <= answer.status < 300:
        return None
    if answer.status == 410:
        return Unsent("It answered 410: it is gone.", final=True)
    if 300 <= answer.status < 400:
        return Unsent(f"It answered {answer.status}: redirects are not followed.")
    return Unsent(f"It answered {answer.status}.", retry_after(answer.retry_after, datetime.now(UTC)))


def secrets_of(owner: str) -> list[str]:
    """Return the secrets that the webhooks of an owner's are signed with, the present one first.

    They are kept nowhere, but made of `SECRET_KEY`, and those of before it in `SECRET_KEY_FALLBACKS`. Each owner has
    others: who is told of one's jobs can write no letter to another.

    :param owner: as of :func:`progrock.jobs.astart`.
    """
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    made = (salted_hmac("progrock.tell", owner, secret=secret, algorithm="sha256").digest() for secret in secrets)
    return [f"whsec_{base64.b64encode(each).decode()}" for each in made]


async def _email(delivery: Delivery, job: Job, snapshot: Snapshot, addressee: Addressee) -> Unsent | None:
    address = await aemail_of(job.owner) if addressee.email == OWNER else addressee.email
    if not address:
        return Unsent("The owner has no e-mail address.", final=True)

    def write() -> None:
        text = render_to_string(addressee.template, {"snapshot": snapshot, "job": job})
        subject, _, body = text.strip().partition("\n")
        connection: Any = get_connection()
        if getattr(connection, "timeout", 0) is None:
            connection.timeout = TIMEOUT  # Django's own waits for ever
        # The same each time that it is sent again, from whichever machine, so that a repeat can be told.
        domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
        headers = {"Message-ID": f"<{delivery.pk}@{domain}>"}
        EmailMessage(subject.strip(), body.strip() + "\n", to=[address], headers=headers, connection=connection).send()

    return await run_aside(write)


async def _call(delivery: Delivery, snapshot: Snapshot, addressee: Addressee) -> Unsent | None:
    function: Callable[..., Any] = import_string(addressee.call)
    try:
        if iscoroutinefunction(function):
            await function(snapshot=snapshot, delivery=str(delivery.pk))
            return None
        return await run_aside(lambda: function(snapshot=snapshot, delivery=str(delivery.pk)))
    except Exception as error:
        # Their code, and their secrets to keep: they need to see where it went wrong.
        logger.error("%s failed for job %s.", addressee.call, snapshot.job, exc_info=error)
        return Unsent(f"It raised {type(error).__name__}.")


async def run_aside(work: Callable[[], object]) -> Unsent | None:
    """Run what may block, and use the database, in a thread of its own."""

    def thread() -> None:
        try:
            work()
        finally:
            connections.close_all()  # of this thread

    try:
        await _threads.run(thread)
    except Full:
        return Unsent(f"{_threads.most} others have not come back yet.")
    return None


def check(addressee: Addressee) -> None:
    """Make sure that what an addressee of the settings names is there.

    :raises ValueError: naming what is not.
    """
    if addressee.call:
        try:
            function = import_string(addressee.call)
        except ImportError as error:
            raise ValueError(f"call: {error}") from None
        if not callable(function):
            raise ValueError(f"call: expected a function, got {addressee.call}")
    if addressee.email:
        try:
            get_template(addressee.template)
        except TemplateDoesNotExist:
            raise ValueError(f"template: expected one that is there, got {addressee.template!r}") from None
