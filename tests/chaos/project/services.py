"""The demo's adapter, with places before and after each call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from config.synth import SynthService
from progrock.services import Client, Order, Started
from progrock.services.client import Reply
from progrock.step import Look, Miss
from tests.chaos.project.points import pass_by


class ChaosSynth(SynthService):
    """The synth."""

    async def start(self, order: Order) -> Started | Miss:
        await pass_by("before-start")
        answer = await super().start(order)
        await pass_by("after-start")
        return answer

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        looks = await super().poll(remotes)
        await pass_by("after-poll")
        return looks

    async def cancel(self, remote: str) -> Look:
        await pass_by("before-cancel")
        look = await super().cancel(remote)
        await pass_by("after-cancel")
        return look


class Keyless(Client):
    """Tells nobody the idempotency key."""

    async def call(self, method: str, path: str, **options: Any) -> Reply | Miss:
        return await super().call(method, path, **options | {"headers": None})


class PlainSynth(ChaosSynth):
    """The same as a service that cannot be asked for what it was told to start, nor be told twice."""

    finds = False
    starts_once = False

    def __init__(self, base_url: str, **options: Any) -> None:
        self.http = Keyless(base_url, **options)
