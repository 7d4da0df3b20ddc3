"""Adapters of the benchmark's remote service as anybody would write them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from progrock.protocol import State
from progrock.services import Client, File, Order, Service, Started
from progrock.step import Look, Miss, Reading

_STATES = {"running": State.RUNNING, "finished": State.SUCCEEDED}
_NONSENSE = Miss("nonsense", "The service's answer made no sense.")


class Singly(Service):
    """Looks at each job with a call of its own.

    :param base_url: where the service is.
    """

    starts_once = True

    def __init__(self, base_url: str) -> None:
        self.http = Client(base_url)

    async def start(self, order: Order) -> Started | Miss:
        reply = await self.http.call("POST", "/jobs", json={"job": order.job})
        return reply if isinstance(reply, Miss) else Started(reply.body["id"])

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return await asyncio.gather(*map(self._look, remotes))

    async def _look(self, remote: str) -> Look:
        reply = await self.http.call("GET", f"/jobs/{remote}")
        return reply if isinstance(reply, Miss) else _reading(reply.body)

    async def cancel(self, remote: str) -> Look:
        return await self._look(remote)

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Miss:
        return Miss("vanished", "There is none.")

    async def aclose(self) -> None:
        await self.http.aclose()


class Together(Singly):
    """Looks at many jobs with one call."""

    batch = 250

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        reply = await self.http.call("POST", "/status", json={"ids": remotes})
        if isinstance(reply, Miss):
            return [reply] * len(remotes)
        jobs = {job["id"]: _reading(job) for job in reply.body["jobs"]}
        return [jobs.get(remote, _NONSENSE) for remote in remotes]


def _reading(job: dict[str, Any]) -> Look:
    progress = job["progress"]
    percent = 100 * progress["done"] / progress["total"]
    return Reading(_STATES[job["status"]], percent, job["message"], again=int(job["wait"] * 1000))
