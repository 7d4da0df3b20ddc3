"""The contract of an adapter: what ProgRock asks of a remote service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec

from ..protocol import State
from ..step import Look, Miss, Reading


class Order(msgspec.Struct, frozen=True):
    """A job to be started.

    :param job: its UUID as text: the idempotency key, the same each time that the start is tried again.
    :param params: what the adapter's :meth:`Service.clean` made of them.
    :param hook: the URL to be called when there is something to see of it; empty if the settings have none.
    """

    job: str
    params: dict[str, Any]
    hook: str = ""


class Started(msgspec.Struct, frozen=True):
    """A job that the service has taken on.

    :param remote: the service's own name for it.
    :param reading: what it says of it already.
    """

    remote: str
    reading: Reading = Reading(State.RUNNING)


class File(msgspec.Struct, frozen=True):
    """A finished file on its way through.

    :param status: 200, 206, 304 or 416.
    :param headers: those that describe the body: type, length, range, ETag.
    :param body: the bytes, as they come in; to be closed, read or not.
    """

    status: int
    headers: Mapping[str, str]
    body: AsyncGenerator[bytes, None]


class Elsewhere(msgspec.Struct, frozen=True):
    """A finished file that is to be had from somebody else, without us.

    :param url: where browsers are sent for it, by http or https; it may be a credential.
    """

    url: str


class Service(ABC):
    """One remote service. Its methods answer with a look for everything that can go wrong out there, and raise
    nothing; what is raised nevertheless is a bug, logged, and treated as an answer that makes no sense.

    An instance serves one event loop and all the jobs of its service.
    """

    finds = False
    """Whether :meth:`find` works: a job that may have been started is looked for before it is started again."""
    starts_once = False
    """Whether the service takes a start with the same `order.job` for the same job (an idempotency key)."""
    batch = 1
    """How many jobs :meth:`poll` asks for with one call to the service: limits count by it. With 1, jobs that began
    together are spread."""
    alike = True
    """Whether its jobs are alike, so that how long the last ones took says something of the next."""
    begins = True
    """Whether its jobs begin when it is told to start them. If not, one may be under way that no step was taken of."""

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters to start with, checked and completed.

        What it returns must be something that it takes: a job that is tried again is cleaned again.

        :raises InvalidParams: saying what was expected and what came.
        """
        return params

    def title(self, params: dict[str, Any]) -> str:
        """Return one line for people to show until the service has a title of its own, if it ever does."""
        return ""

    @abstractmethod
    async def start(self, order: Order) -> Started | Miss:
        """Start the job.

        A worker may die between this call and the record of what came of it. Then the job is looked for, if the
        adapter :attr:`finds`; else started again, if the service :attr:`starts_once`; else it is the policy's to say.
        """

    @abstractmethod
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        """Look at many jobs with one call.

        :returns: a look for each, in the same order.
        """

    @abstractmethod
    async def cancel(self, remote: str) -> Look:
        """Ask for the job's end; asked again until the look says that it is over."""

    async def find(self, job: str) -> str | Miss | None:
        """Return the service's name for a job that may have been started, None if it never was.

        Asked only of an adapter that :attr:`finds`.
        """
        raise NotImplementedError(f"{type(self).__name__} finds nothing.")

    @abstractmethod
    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Elsewhere | Miss:
        """Open the finished file, or say where it is.

        :param headers: those of the caller's that make the request a conditional one, or one for a part.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of connections."""
