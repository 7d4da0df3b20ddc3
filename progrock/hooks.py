"""How a service calls back, as its `HOOK` has it: what proves that it was the service, and which jobs it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from . import signing
from .environment import fill
from .expression import Expression, Senseless

NAMES_MOST = 500
"""How many jobs one webhook may name."""
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, Senseless)

Some = Annotated[str, msgspec.Meta(min_length=1)]


class HookForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="form"):
    """What all forms have.

    :param secrets: those that prove it, newest first; `${NAME}` is taken from the environment.
    :param job: JMESPath of our id of the job in the body, or of a list of them.
    :param remote: the same of the service's own name for it.
    :param net: milliseconds from one look to the next while nothing is heard from the service.
    :param most: bytes that a body may have.
    """

    secrets: Annotated[list[Some], msgspec.Meta(min_length=1, max_length=5)]
    job: str = ""
    remote: str = ""
    net: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)] = 30_000
    most: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 64 * 1024

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"  # whatever logs the settings shall not log the secrets


class Standard(HookForm, frozen=True, tag="standard"):
    """Standard Webhooks.

    :param tolerance: milliseconds that its clock may be before or behind ours, the way included.
    :param prefix: what the names of its headers begin with.
    """

    tolerance: Annotated[int, msgspec.Meta(ge=1_000, le=86_400_000)] = 300_000
    prefix: Some = "webhook"


class Hmac(HookForm, frozen=True, tag="hmac"):
    """A header with the HMAC-SHA256 of the body.

    :param header: its name.
    :param encoding: how it is written.
    :param prefix: what stands before it, such as `sha256=`.
    """

    header: Some
    encoding: signing.Encoding = "hex"
    prefix: str = ""


class Shared(HookForm, frozen=True, tag="shared"):
    """A header, or a parameter of the URL, that is the secret itself.

    :param header: the name of the one, or
    :param query: that of the other.
    """

    header: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        if bool(self.header) == bool(self.query):
            raise ValueError("expected either `header` or `query`, got both or neither")


HookConf = Standard | Hmac | Shared


class Call(msgspec.Struct, frozen=True):
    """A webhook as it came.

    :param headers: by name, whatever their case.
    :param query: the parameters of its URL.
    :param body: exactly the bytes that came.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Call({len(self.body)} bytes)"  # it may carry the secret


class Named(msgspec.Struct, frozen=True):
    """The jobs that a webhook names: by our ids, and by the service's own names."""

    jobs: Sequence[str] = ()
    remotes: Sequence[str] = ()


class Hook:
    """How one service calls back.

    :raises ValueError: naming the key of `HOOK` that cannot be used.
    """

    def __init__(self, conf: HookConf) -> None:
        self.most = conf.most
        self._conf = conf
        try:
            self._secrets = [fill(each) for each in conf.secrets]
            of_text = signing.key if isinstance(conf, Standard) else str.encode
            self._keys = [of_text(each) for each in self._secrets]
        except ValueError as error:
            raise ValueError(f'HOOK["secrets"]: {error}') from None
        self._job = _expression("job", conf.job)
        self._remote = _expression("remote", conf.remote)

    def verify(self, call: Call, now: int) -> signing.Verdict:
        """Return whether it was the service that called, and lately.

        :param now: whole seconds since 1970.
        """
        conf = self._conf
        if isinstance(conf, Standard):
            tolerance = conf.tolerance // 1000
            return signing.verify(self._keys, call.headers, call.body, now=now, tolerance=tolerance, prefix=conf.prefix)
        if isinstance(conf, Hmac):
            expected = signing.digests(self._keys, call.body, conf.encoding, conf.prefix)
            given = call.headers.get(conf.header, "")
        else:
            expected = self._secrets
            given = call.headers.get(conf.header, "") if conf.header else call.query.get(conf.query, "")
        return "good" if signing.among(expected, given) else "forged"

    def name_of(self, call: Call) -> str:
        """Return the webhook's own name, the same if it comes again; empty if its form has none that is signed."""
        return call.headers.get(f"{self._conf.prefix}-id", "") if isinstance(self._conf, Standard) else ""

    def named(self, body: bytes) -> Named:
        """Return the jobs that a body names.

        :raises ValueError: if it cannot be read, or names too many.
        """
        if self._job is None and self._remote is None:
            return Named()
        try:
            said = msgspec.json.decode(body)
            jobs, remotes = (_names(each, said) for each in (self._job, self._remote))
        except _UNREADABLE:
            raise ValueError("Expected JSON that can be read, got something else.") from None
        if len(jobs) + len(remotes) > NAMES_MOST:
            raise ValueError(f"Expected at most {NAMES_MOST} jobs, got more.")
        return Named(jobs, remotes)

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters that the URL has which a service is told to call."""
        conf = self._conf
        return {conf.query: self._secrets[0]} if isinstance(conf, Shared) and conf.query else {}


def _expression(key: Literal["job", "remote"], text: str) -> Expression | None:
    try:
        return Expression(text) if text else None
    except ValueError as error:
        raise ValueError(f'HOOK["{key}"]: {error}') from None


def _names(expression: Expression | None, said: object) -> list[str]:
    found = expression(said) if expression else None
    each_of = found if isinstance(found, list) else [found]
    return [str(each) for each in each_of if isinstance(each, str | int) and not isinstance(each, bool)]
