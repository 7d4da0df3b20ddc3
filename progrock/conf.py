"""The form of the `PROGROCK` setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.core.exceptions import ImproperlyConfigured

from .protocol import Text64
from .step import Policy


class ServiceConf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """One service.

    :param backend: dotted path of its :class:`~progrock.services.Service`.
    :param options: keyword arguments of the backend.
    :param policy: how to look at its jobs; keys as in :class:`~progrock.step.Policy`, in lower case.
    """

    backend: str
    options: dict[str, Any] = {}
    policy: Policy = Policy()


class Conf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """All of it.

    :param services: by name.
    :param default_service: what a start without a service starts; the only service, if there is one.
    :param store: where the schedule lives; `memory://` is embedded mode.
    :param max_unfinished: how many unfinished jobs an owner may have.
    """

    services: dict[Text64, ServiceConf] = {}
    default_service: str = ""
    store: str = "memory://"
    max_unfinished: int = 100

    def __post_init__(self) -> None:
        if not self.default_service and len(self.services) == 1:
            msgspec.structs.force_setattr(self, "default_service", next(iter(self.services)))
        if self.default_service and self.default_service not in self.services:
            raise ValueError(f"DEFAULT_SERVICE {self.default_service!r} is not one of the SERVICES")
        if self.store != "memory://":
            raise ValueError(f"STORE must be 'memory://', got {self.store!r}")


def parse(setting: Mapping[str, Any]) -> Conf:
    """Return the setting as a value.

    :raises ImproperlyConfigured: naming what was expected where, and what came.
    """
    try:
        return msgspec.convert(dict(setting), Conf)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"PROGROCK: {error}") from None
