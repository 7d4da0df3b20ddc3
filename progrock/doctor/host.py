"""Looks at this host: the versions of what is installed, and what Django's checks say of the settings."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from django.core import checks
from django.db import connections

from ..aside import Aside
from .finding import Finding, error, ok, warning

DAPHNE = (4, 2, 2)
"""Older ones take frames of any size."""
_PAIR = "progrock.E006"
_REMEDIES = {
    "security.W009": "Set SECRET_KEY to 50 random characters or more, and keep it to yourself.",
    "security.W018": "Set DEBUG to False.",
    "security.W020": "Set ALLOWED_HOSTS to the names that browsers know the site by.",
}
_REMEDY = "Change it, or say that it is meant so, in SILENCED_SYSTEM_CHECKS."


def daphne() -> Finding:
    """Look whether daphne is one that bounds what it is sent."""
    expected = ".".join(map(str, DAPHNE))
    try:
        installed = version("daphne")
    except PackageNotFoundError:
        return warning("daphne", "It is not installed.", "Bound the frames of another server to 1 MiB or less.")
    if tuple(int(part) for part in re.findall(r"\d+", installed)[:3]) < DAPHNE:
        says = f"It is {installed}: a client can have it take frames of any size."
        return error("daphne", says, f"pip install 'daphne>={expected}'")
    return ok("daphne", f"It is {installed}.")


async def settings(aside: Aside) -> list[Finding]:
    """Ask all system checks, those for deployment too."""

    def ask() -> list[checks.CheckMessage]:
        try:
            return checks.run_checks(include_deployment_checks=True)
        finally:
            connections.close_all()

    messages = await aside.run(ask)
    found = [_of(each) for each in messages if each.level >= checks.WARNING and not each.is_silenced()]
    if not found:
        found = [ok("settings", "manage.py check --deploy finds nothing.")]
    if not any(each.id == _PAIR for each in messages):
        found.append(ok("redis-py", f"{version('redis')} goes with channels-redis {version('channels-redis')}."))
    return found


def _of(message: checks.CheckMessage) -> Finding:
    about = "redis-py" if message.id == _PAIR else f"settings {message.id or ''}"
    says = error if message.level >= checks.ERROR else warning
    return says(about, str(message.msg), str(message.hint or _REMEDIES.get(str(message.id), _REMEDY)))
