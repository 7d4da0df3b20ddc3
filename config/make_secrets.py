"""`python -m config.make_secrets DIR`: the secrets of `docker compose up`, each made once and kept in a file.

`--anew NAME` makes one of them anew: see docs/howto/rotate-secrets.md
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

BYTES = 32
OURS, SHARED = 0o400, 0o440
"""Modes: read by us alone; and by the group too, which Redis and PostgreSQL are given."""
ANEW: Mapping[str, Sequence[str]] = {
    "secret-key": (),
    "metrics-token": ("metrics-token",),
    # The password itself comes last: as long as it is there, the others are made of it.
    "postgres-password": ("database-url", "postgres-password"),
    "redis-password": ("redis-url", "redis.conf", "redis-password"),
}
"""What can be made anew, and which files go for it. The key of before is kept: what it has signed still holds."""


def make(folder: Path, anew: str = "") -> list[str]:
    """Make what is missing, and return its names.

    A file is there whole or not at all, so whoever is killed meanwhile is run again.

    :param folder: where they are kept.
    :param anew: one of `ANEW` that is to be made again though it is there.
    :raises OSError: if it cannot be written.
    """
    for name in ANEW[anew] if anew else ():
        (folder / name).unlink(missing_ok=True)
    if anew == "secret-key" and (folder / anew).exists():
        (folder / anew).replace(folder / "secret-key-before")
    postgres, redis = (_once(folder, f"{name}-password") for name in ("postgres", "redis"))
    files: Mapping[str, tuple[int, str]] = {
        "secret-key": (OURS, secrets.token_urlsafe(2 * BYTES)),
        "secret-key-before": (OURS, secrets.token_urlsafe(2 * BYTES)),  # at first one that has signed nothing
        "metrics-token": (OURS, secrets.token_urlsafe(BYTES)),
        "postgres-password": (SHARED, postgres),
        "redis-password": (SHARED, redis),
        "redis.conf": (SHARED, f"requirepass {redis}\n"),
        "database-url": (OURS, f"postgres://progrock:{postgres}@postgres:5432/progrock"),
        "redis-url": (OURS, f"redis://:{redis}@redis:6379/0"),
    }
    missing = [name for name in files if not (folder / name).exists()]
    for name in missing:
        mode, text = files[name]
        half = folder / f".{name}"
        half.unlink(missing_ok=True)
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask says
            file.write(text)
        half.rename(folder / name)
    return missing


def _once(folder: Path, name: str) -> str:
    """Return the secret of that name, or a new one."""
    path = folder / name
    return path.read_text() if path.exists() else secrets.token_urlsafe(BYTES)


def main(arguments: list[str]) -> int:
    """Make them where the first argument says; return the exit code."""
    parser = argparse.ArgumentParser(prog="make_secrets", description="Make the secrets that there are none of.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where they are kept")
    parser.add_argument("--anew", choices=ANEW, default="", metavar="NAME", help=f"make one anew: {', '.join(ANEW)}")
    options = parser.parse_args(arguments)
    try:
        made = make(options.folder, options.anew)
    except OSError as error:
        sys.stderr.write(f"The secrets cannot be made: {error}\n")
        return 1
    sys.stdout.write(f"Made: {', '.join(made) or 'nothing, all are there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
