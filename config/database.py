"""DATABASE_URL, as Django's DATABASES wants it."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

FORM = "postgres://user:password@host:port/name"
OPTIONS = frozenset({"application_name", "connect_timeout", "sslcert", "sslkey", "sslmode", "sslrootcert"})
PATIENCE = {
    "connect_timeout": "5",
    # A server that is gone without a word is found out within 15 s, not within two hours.
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}
"""How long libpq waits for a server, in seconds, the last in milliseconds."""


def postgresql(url: str) -> dict[str, Any]:
    """Return the settings of the PostgreSQL database that a URL names.

    The name is required; user, password, host and port are as for `psql` where they are missing. What is special in a
    URL is percent-encoded.

    :param url: `postgres://user:password@host:port/name`, with `OPTIONS` of the connection after a `?`.
    :raises ImproperlyConfigured: if it is something else. It never says the URL, which has a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _expected(FORM, "a URL that cannot be read") from None
    _check(url, parts, options)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(port or ""),
        # Django answers each request in a thread of its own, and nobody closes what would be kept open for it. Channels
        # closes before each message, our worker every second: the next query connects anew, also after a restart.
        "CONN_MAX_AGE": 0,
        "OPTIONS": PATIENCE | options,
    }


def _check(url: str, parts: SplitResult, options: dict[str, str]) -> None:
    if not url.isprintable() or " " in url:
        raise _expected(FORM, "spaces or control characters in it")
    if parts.scheme not in ("postgres", "postgresql"):
        raise _expected(FORM, "another scheme")
    if not parts.path[1:]:
        raise _expected(FORM, "none with the name of a database")
    if "/" in parts.path[1:] or parts.fragment:
        raise _expected(FORM, "one with more behind the name")
    if unknown := options.keys() - OPTIONS:
        raise _expected(f"no options but {', '.join(sorted(OPTIONS))}", ", ".join(map(repr, sorted(unknown))))


def _expected(what: str, got: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"Expected DATABASE_URL as {what}, got {got}.")
