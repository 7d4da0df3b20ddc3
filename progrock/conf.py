"""The form of the `PROGROCK` setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
import msgspec.inspect
from django.core.exceptions import ImproperlyConfigured
from msgspec.structs import replace

from .hooks import HookConf
from .keys import unknown
from .protocol import Text64
from .step import Policy
from .tell import Addressee, check_declared

MEMORY = "memory://"
_RESULT_MOST = 1 << 20  # an answer of a service is cut there too
_FRAME_MOST = 1 << 20  # daphne cuts off what is longer
Count = Annotated[int, msgspec.Meta(ge=1)]
_RATE_LEAST = 1e-5
_HOSTS = r"(?:[^@/\s]*@)?[^@/,?\s]+:\d+(?:,[^@/,?\s]+:\d+)*"
_STORES = {
    "memory://": r"memory://",
    "redis://host:port/db": r"redis://\S+",
    "rediss://host:port/db": r"rediss://\S+",
    "unix://path": r"unix://\S+",
    "redis+sentinel://host:port,host:port/service/db": rf"redis\+sentinel://{_HOSTS}/[^/?\s]+(?:/\d+)?(?:\?\S*)?",
    "redis+cluster://host:port,host:port": rf"redis\+cluster://{_HOSTS}/?(?:\?\S*)?",
}


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many calls a service gets, from all workers together.

    :param rate: calls a second; 0 is any number.
    :param burst: how many of them may be made at once after a quiet while; 0 is those of one second, and 1 at least.
    :param concurrency: how many may be under way at the same time; 0 is any number.
    """

    rate: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 0
    burst: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    concurrency: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0

    def __post_init__(self) -> None:
        if not self.rate and not self.concurrency:
            raise ValueError("LIMITS must have a rate (calls a second) or a concurrency (calls at a time), got neither")
        if self.burst and not self.rate:
            raise ValueError(f"LIMITS must have a rate for its burst of {self.burst}, got none")
        if self.rate and self.rate < _RATE_LEAST:
            raise ValueError(f"LIMITS must have a rate of at least {_RATE_LEAST} (one call a day), got {self.rate}")

    @property
    def burst_or_rate(self) -> float:
        """How many calls may be made at once."""
        return self.burst or max(1.0, self.rate)


class ServiceConf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """One service.

    :param backend: dotted path of its :class:`~progrock.services.Service`.
    :param options: keyword arguments of the backend.
    :param policy: how to look at its jobs; keys as in :class:`~progrock.step.Policy`, in lower case.
    :param hook: how it calls back, if it does; keys as in :mod:`progrock.hooks`, in lower case.
    :param tell: who is told when one of its jobs ends; keys as in :class:`~progrock.tell.Addressee`.
    :param limits: how many calls it gets; keys as in :class:`Limit`, in lower case. None is any number.
    """

    backend: str
    options: Mapping[str, Any] = {}
    policy: Policy = Policy()
    hook: HookConf | None = None
    tell: tuple[Addressee, ...] = ()
    limits: Limit | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "options", MappingProxyType(dict(self.options)))
        if self.hook is not None:
            msgspec.structs.force_setattr(self, "policy", replace(self.policy, net=self.hook.net))


# Whoever reports asks for a look. The others, every 5 s, find out that nobody reports any more.
_TRACK = Policy(
    interval=50,
    interval_most=1_000,
    net=5_000,
    retry=1_000,
    retry_most=5_000,
    patience=60_000,
    expiry=30 * 86_400_000,
    deadline=30 * 86_400_000,
    stopped="cancelled",
)
# Each child that ends asks for a look, which is taken twice a second at most. The others show percentages.
_GROUP = replace(_TRACK, interval=500, interval_most=2_000, net=500)

BUILT_IN = {
    "track": ServiceConf("progrock.push.Pushed", policy=_TRACK),
    "group": ServiceConf("progrock.groups.Grouped", policy=_GROUP),
}
"""The services that are there without being declared."""


class Conf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """All of it.

    :param services: by name; those that are built in are among them.
    :param default_service: what a start without a service starts; the only service, if there is one.
    :param store: where the schedule lives; `memory://` is embedded mode, the others are Redis.
    :param store_shards: over how many slots of a Redis Cluster the schedule is spread.
    :param max_unfinished: how many unfinished jobs an owner may have; children do not count.
    :param max_starts_per_minute: how many jobs an owner may start within 60 s, whoever asks for them, on whatever
        transport; children do not count, nor do jobs of services that are built in. Those of an address who are not
        logged in, ten times as many on one web process. None is any number.
    :param max_sockets: how many websockets an owner may have on one web process; those of an address who have no
        session, ten times as many.
    :param max_streams: the same of streams and long polls.
    :param max_frames_per_second: how many frames a websocket may be sent by its client.
    :param max_frame_bytes: how long each may be, and the body of a request.
    :param max_watches: how many jobs a client may watch by name.
    :param max_watchers: how many clients may watch one job by name, on one web process.
    :param max_params_bytes: how long a job's parameters may be, as JSON.
    :param max_result_bytes: the same of its result.
    :param keep_days: how long jobs are kept after their end; None is for ever.
    :param journal_most: how many lines of a job's journal are kept: the newest.
    :param journal_keep: for how many seconds after the job's end.
    :param public_url: where services find `progrock.urls` from outside; empty if none is to call back.
    :param tell_allow: hosts, or `host:port`, that a start may name for its webhooks though they are not public, or not
        asked over TLS.
    :param metrics_token: what whoever scrapes `/metrics` has to show; empty is staff alone.
    :param rights: dotted path of the class that says who may what with which jobs, a :class:`~progrock.rights.Rights`.
    :param may_subscribe: dotted path of a function that says who may subscribe to which channel; empty is nobody, to
        none.
    """

    services: Mapping[Text64, ServiceConf] = {}
    default_service: str = ""
    store: str = MEMORY
    store_shards: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    max_unfinished: Count = 100
    max_starts_per_minute: Count | None = 60
    max_sockets: Count = 100
    max_streams: Count = 50
    max_frames_per_second: Count = 200
    max_frame_bytes: Annotated[int, msgspec.Meta(ge=1_024, le=_FRAME_MOST)] = 65_536
    max_watches: Count = 100
    max_watchers: Count = 1_000
    max_params_bytes: Annotated[int, msgspec.Meta(ge=2, le=_FRAME_MOST)] = 8_192
    max_result_bytes: Annotated[int, msgspec.Meta(ge=0, le=_RESULT_MOST)] = _RESULT_MOST
    keep_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] | None = 90
    journal_most: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    journal_keep: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 86_400
    public_url: str = ""
    tell_allow: tuple[str, ...] = ()
    metrics_token: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    rights: str = "progrock.rights.Owners"
    may_subscribe: str = ""

    def __post_init__(self) -> None:
        declared = self.services.keys() - BUILT_IN
        if not self.default_service and len(declared) == 1:
            msgspec.structs.force_setattr(self, "default_service", *declared)
        if self.default_service and self.default_service not in self.services:
            raise ValueError(f"DEFAULT_SERVICE {self.default_service!r} is not one of the SERVICES")
        if not any(re.fullmatch(form, self.store) for form in _STORES.values()):
            raise ValueError(f"STORE must be one of {', '.join(_STORES)}, got {_without_secrets(self.store)!r}")
        if self.metrics_token and not (len(self.metrics_token) >= 16 and re.fullmatch(r"[!-~]+", self.metrics_token)):
            raise ValueError("METRICS_TOKEN must be 16 or more printable ASCII characters without spaces, got others")
        if self.public_url and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", self.public_url):
            got = _without_secrets(self.public_url)
            raise ValueError(f"PUBLIC_URL must be http(s)://host[:port][/path], got {got!r}")
        msgspec.structs.force_setattr(self, "services", MappingProxyType({**BUILT_IN, **self.services}))
        for name, service in self.services.items():
            check_declared(service.tell, f"SERVICES[{name!r}]: TELL")

    @property
    def embedded(self) -> bool:
        """Whether scheduler and worker run inside the one web process."""
        return self.store == MEMORY


_FORM = msgspec.inspect.type_info(Conf)


def parse(setting: Mapping[str, Any]) -> Conf:
    """Return the setting as a value.

    :raises ImproperlyConfigured: naming what was expected where, and what came.
    """
    if says := next(unknown(setting, _FORM), None):
        raise ImproperlyConfigured(f"PROGROCK: {says}")
    try:
        return msgspec.convert(_over_built_in(setting), Conf)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        says = str(error)
        if "$.SERVICES[...]" in says:
            says = _by_name(setting["SERVICES"]) or says
        raise ImproperlyConfigured(f"PROGROCK: {says}") from None


def _over_built_in(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting with what it says of built-in services laid over what they have by themselves."""
    services = setting.get("SERVICES", {})
    if not isinstance(services, Mapping):
        return dict(setting)
    whole = dict(services)
    for name, built_in in BUILT_IN.items():
        given = services.get(name)
        policy = given.get("POLICY", {}) if isinstance(given, Mapping) else None
        if isinstance(given, Mapping) and isinstance(policy, Mapping):
            known = {"BACKEND": built_in.backend, **given}
            whole[name] = {**known, "POLICY": {**msgspec.structs.asdict(built_in.policy), **policy}}
    return {**setting, "SERVICES": whole}


def _by_name(services: Mapping[str, Any]) -> str | None:
    """Return what is wrong in the first service of which something is, with the service's name."""
    for name, declared in services.items():
        try:
            msgspec.convert(declared, ServiceConf)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            return f"SERVICES[{name!r}]: {error}"
    return None


def _without_secrets(url: str) -> str:
    """Return the URL without what stands before the host and in the query: a password may be in either."""
    return re.sub(r"\?.*", "?...", re.sub(r"(\w://|^).*@", r"\1...@", url, flags=re.DOTALL), flags=re.DOTALL)
