"""`python -m config.probe PORT/PATH`: whether the process of this container answers; exit code 0 if it does."""

from __future__ import annotations

import http.client
import os
import sys

LIMIT = 4.0
"""Seconds that an answer may take: `/readyz` itself gives each part two."""


def probe(where: str, host: str = "") -> str:
    """Ask, and return what is wrong, empty if nothing is.

    :param where: `PORT/PATH` on this host, such as `8000/healthz`.
    :param host: by which name it is called.
    """
    port, _, path = where.partition("/")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        return f"expected PORT/PATH, such as 8000/healthz, got {where!a}"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=LIMIT)
    try:
        connection.request("GET", f"/{path}", headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        says = answer.read(1000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error!r}"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"{answer.status}: {says}"


def name(allowed: str) -> str:
    """Return a name that Django takes for its own, of those in `ALLOWED_HOSTS`; none if any will do."""
    first = (allowed.split() or [""])[0].lstrip(".")
    return "" if first == "*" else first


def main(arguments: list[str]) -> int:
    """Ask where the only argument says; return the exit code."""
    where = arguments[0] if len(arguments) == 1 else ""
    if wrong := probe(where, name(os.environ.get("ALLOWED_HOSTS", ""))):
        sys.stderr.write(f"{ascii(wrong)[1:-1]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
