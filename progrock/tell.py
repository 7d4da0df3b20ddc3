"""Who is told when a job ends: the form of it, in the settings and in a start."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .environment import fill, named
from .post import public
from .signing import key

OWNER = "owner"
"""The address of an e-mail to whose job it is."""
TEMPLATE = "progrock/ended.txt"
MOST = 5
"""How many addressees a start may name."""
_TARGET_MOST = 500
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", re.ASCII)

Kind = Literal["webhook", "email", "call"]
Ending = Literal["succeeded", "failed", "cancelled"]
When = Literal["always", "unwatched"]
UNWATCHED = "unwatched"


class Addressee(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Somebody who is told: exactly one of `webhook`, `email` and `call`.

    :param webhook: URL that gets a signed POST.
    :param email: an address, or `owner`: that of the user whose job it is.
    :param call: dotted path of a function, sync or async; in the settings only.
    :param secrets: what the webhook is signed with, each `whsec_...`: two while whoever gets it learns of a new one; in
        the settings only, as `${NAME}`.
    :param template: of the e-mail; its first line is the subject.
    :param on: the ends that are told.
    :param when: `always`, or `unwatched`: only if no page was told of that end.
    """

    webhook: str = ""
    email: str = ""
    call: str = ""
    secrets: tuple[str, ...] = ()
    template: str = TEMPLATE
    on: tuple[Ending, ...] = ("succeeded", "failed", "cancelled")
    when: When = "always"

    def __post_init__(self) -> None:
        if sum(map(bool, (self.webhook, self.email, self.call))) != 1:
            raise ValueError("expected one of webhook, email and call")
        if len(self.target) > _TARGET_MOST or not self.target.isprintable():
            raise ValueError(f"expected at most {_TARGET_MOST} printable characters as {self.kind}, got others")
        if not self.on:
            raise ValueError("on: expected one end or more, got none")
        if self.secrets and not self.webhook:
            raise ValueError(f"expected secrets with a webhook only, got some with {self.kind}")
        if self.email and self.email != OWNER:
            try:
                validate_email(self.email)
            except ValidationError:
                raise ValueError(f"email: expected an address or {OWNER!r}, got {self.email!a:.80}") from None
        if self.webhook:
            _split(fill(self.webhook, dict.fromkeys(named(self.webhook), "x")))

    @property
    def kind(self) -> Kind:
        """How it is told."""
        return "webhook" if self.webhook else "email" if self.email else "call"

    @property
    def target(self) -> str:
        """Where, as it was declared."""
        return self.webhook or self.email or self.call


def check_declared(addressees: Sequence[Addressee], setting: str) -> None:
    """Make sure that those of the settings can be told: the environment has what they name.

    :param setting: where they stand, for people.
    :raises ValueError: naming the setting that cannot be used.
    """
    for at, each in enumerate(addressees):
        try:
            if each.webhook:
                _split(fill(each.webhook))
                keys_of(each)
        except ValueError as error:
            raise ValueError(f"{setting}[{at}]: {error}") from None


def parse(tell: Sequence[Mapping[str, Any]], allow: Collection[str]) -> list[Addressee]:
    """Return the addressees that a start names, which may be anybody's word: public ones, and no code of ours.

    :param allow: hosts, or `host:port`, that need be neither public nor asked over TLS.
    :raises ValueError: saying what was expected and what came.
    """
    try:
        addressees = msgspec.convert(list(tell), list[Addressee])
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(str(error)) from None
    if len(addressees) > MOST:
        raise ValueError(f"expected at most {MOST} addressees, got {len(addressees)}")
    for each in addressees:
        if each.call or each.secrets:
            raise ValueError(f"expected {'call' if each.call else 'secrets'} in the settings only, got it in a start")
        if each.webhook:
            if "{" in each.webhook:
                raise ValueError("webhook: expected a URL without braces, got one with some")
            check_url(each.webhook, allow)
    return addressees


def check_url(url: str, allow: Collection[str]) -> None:
    """Make sure that a URL of an owner's may be called, as far as the URL alone tells.

    :raises ValueError: saying what was expected; never with the URL, in which a token may be.
    """
    parts = _split(url)
    if is_allowed(parts, allow):
        return
    if parts.scheme != "https":
        raise ValueError("webhook: expected an https:// URL, got another")
    if public(parts.hostname or "") is False:
        raise ValueError("webhook: expected a public address, got one that is not")


def is_allowed(parts: SplitResult, allow: Collection[str]) -> bool:
    """Whether the settings allow a URL's host, or that port of it, whatever its address."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return not {parts.hostname, f"{parts.hostname}:{port}"}.isdisjoint(each.lower() for each in allow)


def keys_of(declared: Addressee) -> list[bytes]:
    """Return the keys that a webhook of the settings is signed with.

    :raises ValueError: if it has none, or none that can be used; without telling it.
    """
    if not declared.secrets:
        raise ValueError('expected secrets with a webhook, such as ["${TELL_SECRET}"], got none')
    return [key(fill(secret)) for secret in declared.secrets]


def shown(kind: str, target: str) -> str:
    """Return where a delivery goes, for people: of a URL the host, for all that follows may be a token."""
    return urlsplit(target).netloc.rpartition("@")[2] if kind == "webhook" else target


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or port == 0:
        raise ValueError("webhook: expected https://host[:port]/path, got something else")
    if "@" in parts.netloc:
        raise ValueError("webhook: expected a URL without user and password, got one with them")
    # Nothing in it that two who read it may read differently.
    if not _HOST.fullmatch(parts.netloc):
        raise ValueError("webhook: expected a host name or an address, got something else")
    if not url.isascii() or " " in url or "\\" in url:
        raise ValueError("webhook: expected a URL that is quoted, got one with characters that no URL has")
    return parts
