"""The contract of adapters finds out who breaks any part of it."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Sequence

import aiohttp
import pytest

from config.synth import SynthService
from progrock.protocol import State
from progrock.services import Order, Service, Started
from progrock.step import Look, Miss, Reading
from progrock.testing import AdapterContract, TroubleContract
from tests.services.promises import BROKEN, KeptService

SECRET = "open sesame"


class Contract(AdapterContract):
    runs = {"runs": True}
    patience = 0.5

    def __init__(self, adapter: type[KeptService]) -> None:
        self._adapter = adapter

    def adapter(self) -> Service:
        return self._adapter()


@pytest.mark.parametrize("adapter", BROKEN, ids=lambda adapter: adapter.__name__)
def test_a_promise_that_is_broken_is_found_out(adapter: type[KeptService]) -> None:
    kept = Contract(KeptService)
    kept.patience = AdapterContract.patience
    getattr(kept, BROKEN[adapter])()
    with pytest.raises(AssertionError, match=r"^Expected "):
        getattr(Contract(adapter), BROKEN[adapter])()


def test_every_part_can_fail() -> None:
    assert {name for name in dir(AdapterContract) if name.startswith("test_")} == set(BROKEN.values())


class ByUrl(SynthService):
    """Looks at jobs, and starts them, in a way of its own."""

    url: str

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [await self.ask()] * len(remotes)

    async def ask(self) -> Look:
        raise NotImplementedError


class Raising(ByUrl):
    async def ask(self) -> Look:
        async with aiohttp.ClientSession() as session, session.get(self.url) as response:
            return Reading(State.RUNNING, await response.json())


class Blocking(ByUrl):
    async def ask(self) -> Look:
        try:
            return Reading(State.RUNNING, urllib.request.urlopen(self.url, timeout=0.5).read())
        except OSError:
            return Miss("unreachable", "The service cannot be reached.")

    async def start(self, order: Order) -> Started | Miss:
        look = await self.ask()
        return look if isinstance(look, Miss) else Started("x")

    async def cancel(self, remote: str) -> Look:
        return await self.ask()


class Sure(SynthService):
    async def start(self, order: Order) -> Started | Miss:
        answer = await super().start(order)
        return Miss(answer.code, answer.message, heard=False) if isinstance(answer, Miss) else answer


class Following(ByUrl):
    async def ask(self) -> Look:
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url) as response:
                await response.read()
        except aiohttp.ClientError:
            pass
        return Miss("nonsense", "That was nothing.")


class Greedy(Following):
    """Reads all that there is."""


class Patient(ByUrl):
    async def ask(self) -> Look:
        await asyncio.sleep(60)
        return Miss("unreachable", "The service did not answer in time.")


class Talkative(SynthService):
    async def cancel(self, remote: str) -> Look:
        return Miss("auth", f"The service does not take {SECRET}.")


class Hopeful(SynthService):
    async def find(self, job: str) -> str | Miss | None:
        found = await super().find(job)
        return None if isinstance(found, Miss) else found


class Trusting(SynthService):
    async def cancel(self, remote: str) -> Look:
        await super().cancel(remote)
        return Reading(State.CANCELLED)


class Formless(ByUrl):
    async def ask(self) -> Look:
        reply = await self.http.call("GET", "/")
        return reply if isinstance(reply, Miss) else Reading(State.RUNNING, message=reply.body["message"])


CARELESS: dict[type[SynthService], str] = {
    Raising: "test_a_remote_that_is_away",
    Trusting: "test_a_remote_that_is_away",
    Blocking: "test_a_remote_that_does_not_answer",
    Patient: "test_a_remote_that_does_not_answer",
    Sure: "test_a_remote_that_does_not_answer",
    Hopeful: "test_a_remote_that_makes_no_sense",
    Formless: "test_an_answer_of_another_form_raises_nothing",
    Talkative: "test_an_answer_that_is_a_refusal",
    Greedy: "test_an_answer_without_end_is_cut",
    Following: "test_nobody_else_is_called",
}
"""Who does not look out, and the test that must find it out."""


class Trouble(TroubleContract):
    secrets = (SECRET,)
    patience = 2.0

    def __init__(self, adapter: type[SynthService]) -> None:
        self._adapter = adapter

    def adapter_at(self, host: str, port: int) -> Service:
        service = self._adapter(f"http://{host}:{port}", timeout=300)
        if isinstance(service, ByUrl):
            service.url = f"http://{host}:{port}"
        return service


@pytest.mark.parametrize("adapter", CARELESS, ids=lambda adapter: adapter.__name__)
def test_who_does_not_look_out_is_found_out(adapter: type[SynthService]) -> None:
    good = Trouble(SynthService)
    good.patience = TroubleContract.patience
    getattr(good, CARELESS[adapter])()
    with pytest.raises(AssertionError, match=r"^Expected ") as failure:
        getattr(Trouble(adapter), CARELESS[adapter])()
    assert SECRET not in str(failure.value)


def test_every_trouble_can_fail() -> None:
    assert {name for name in dir(TroubleContract) if name.startswith("test_")} == set(CARELESS.values())
