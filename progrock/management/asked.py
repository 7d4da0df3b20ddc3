"""What a command line says of jobs: whose they are, and what they are to be started with."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Iterable
from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandParser

from progrock import jobs, terms
from progrock.access import owner_text
from progrock.exceptions import Invalid, InvalidParams


def add_owner(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Give a command the options that say whose jobs it is about, and return them: there may be others instead."""
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", metavar="NAME", help="those of this user of the site")
    whose.add_argument(
        "--owner",
        metavar="TEXT",
        help="those of this owner, as jobs have it (default: cli: and your name on this system)",
    )
    return whose


def in_any_order(parser: CommandParser) -> CommandParser:
    """Let options stand between the words of a command, as people write them, and return its parser."""
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
    return parser


def owner_of(user: str | None, owner: str | None) -> str:
    """Return whose jobs are meant, as jobs have it.

    :param user: what a user logs in with.
    :param owner: an owner as jobs have it; without both, whoever runs this.
    :raises Invalid: if there is no such user, or that can be no owner.
    :raises Unavailable: if the database is away.
    """
    if user is not None:
        try:
            with jobs.available():
                return owner_text(get_user_model().objects.get_by_natural_key(user))
        except (ObjectDoesNotExist, ValueError):  # a NUL in it is no name for PostgreSQL
            raise Invalid(f"--user: expected the name of a user, got {user!a:.80}.") from None
    text = f"cli:{_system_user()}" if owner is None else owner
    terms.check_owner(text)
    return text


def params_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the parameters of a start.

    :param pairs: each `key=value`, whose value is JSON, or else text.
    :raises InvalidParams: if one is something else, or comes twice.
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (key and sign) or any("\ud800" <= char <= "\udfff" for char in pair):  # no text at all
            raise InvalidParams(f"Expected parameters as key=value, got {pair!a:.80}.")
        if key in params:
            raise InvalidParams(f"Expected each parameter once, got {key!a:.80} twice.")
        params[key] = _value(value)
    return params


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return text


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # in a container, nobody may know its name
        return str(os.getuid())
