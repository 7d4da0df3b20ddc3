"""Adapters that keep every promise but one, each for the test of the contract that must find it out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from progrock.protocol import State
from progrock.services import File, Order, Started
from progrock.step import Look, Miss, Reading
from progrock.testing import ScriptedService, remote
from progrock.testing.contract import NOBODY

BYTES = b"x" * 100


class KeptService(ScriptedService):
    """Keeps them all: with the parameter `runs` a job goes on, without it ends at the second look, with a file."""

    batch = 3

    async def start(self, order: Order) -> Started | Miss:
        ends = Reading(State.SUCCEEDED, file="text/plain")
        remote.say(Reading(State.RUNNING), *([] if "runs" in order.params else [ends]), job=order.job)
        return await super().start(order)

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        await asyncio.sleep(0)
        return [_unknown() if each.startswith(NOBODY) else remote.next_look(each) for each in remotes]

    async def cancel(self, remote_id: str) -> Look:
        return _unknown() if remote_id == NOBODY else remote.stop(remote_id)

    async def open(self, remote_id: str, headers: Mapping[str, str]) -> File | Miss:
        async def body() -> AsyncGenerator[bytes, None]:
            for at in range(0, len(BYTES), 30):
                yield BYTES[at : at + 30]

        return _unknown() if remote_id == NOBODY else File(200, {}, body())


def _unknown() -> Miss:
    return Miss("vanished", "The service does not know this job.")


class Nameless(KeptService):
    async def start(self, order: Order) -> Started | Miss:
        await super().start(order)
        return Started("")


class OneName(KeptService):
    finds = False

    async def start(self, order: Order) -> Started | Miss:
        return await super().start(Order("the-only", order.params))


class Refusing(KeptService):
    async def start(self, order: Order) -> Started | Miss:
        return Miss("refused", "Not today.")


class Wordless(KeptService):
    async def start(self, order: Order) -> Started | Miss:
        return Miss("refused", "Error:\n  500")


class CleansTwice(KeptService):
    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "cleaned": params.get("cleaned", 0) + 1}


class Sorted(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        looks = dict(zip(remotes, await super().poll(remotes), strict=True))
        return [looks[each] for each in sorted(remotes)]


class EachOnce(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return await super().poll(list(dict.fromkeys(remotes)))


class KnownOnly(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [look for look in await super().poll(remotes) if not isinstance(look, Miss)]


class NoneOfNone(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        assert remotes, "expected jobs"
        return await super().poll(remotes)


class OneBatch(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        looks = list(await super().poll(remotes[: self.batch]))
        return looks + [_unknown()] * (len(remotes) - len(looks))


class Optimist(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [Reading(State.SUCCEEDED) if isinstance(look, Miss) else look for look in await super().poll(remotes)]


class StartsEachTime(KeptService):
    finds = False
    count = itertools.count()

    async def start(self, order: Order) -> Started | Miss:
        return await super().start(Order(f"{order.job}-{next(self.count)}", order.params))


class FindsNothing(KeptService):
    async def find(self, job: str) -> str | Miss | None:
        return None


class FindsAnything(KeptService):
    async def find(self, job: str) -> str | Miss | None:
        return f"r-{job}"


class Deaf(KeptService):
    async def cancel(self, remote_id: str) -> Look:
        return Reading(State.RUNNING)


class Forgiving(KeptService):
    """Says of what has ended that it was cancelled, when it is told to stop it."""

    async def cancel(self, remote_id: str) -> Look:
        look = await super().cancel(remote_id)
        return look if isinstance(look, Miss) else Reading(State.CANCELLED)


class Endless(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [_unknown() if each.startswith(NOBODY) else Reading(State.RUNNING) for each in remotes]


class Leaking(KeptService):
    """Has two connections, and gives one back only when a file was read to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.free = 2

    async def open(self, remote_id: str, headers: Mapping[str, str]) -> File | Miss:
        opened = await super().open(remote_id, headers)
        if isinstance(opened, Miss):
            return opened
        if not self.free:
            return Miss("unreachable", "The service did not answer in time.")
        self.free -= 1

        async def body() -> AsyncGenerator[bytes, None]:
            async for piece in opened.body:
                yield piece
            self.free += 1

        return File(200, {}, body())


class Stubborn(KeptService):
    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            return [Miss("unreachable", "Somebody was in a hurry.")] * len(remotes)
        return await super().poll(remotes)


class Spoilt(KeptService):
    """Keeps a place for each call, and none for those that are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.free = 3

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        if not self.free:
            return [Miss("unreachable", "The service did not answer in time.")] * len(remotes)
        self.free -= 1
        await asyncio.sleep(0.001)
        self.free += 1
        return await super().poll(remotes)


class OneByOne(KeptService):
    busy = False

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        assert not self.busy, "expected to be asked one thing after the other"
        self.busy = True
        try:
            await asyncio.sleep(0)
            return await super().poll(remotes)
        finally:
            self.busy = False


class OneLoop(KeptService):
    """Has something of one event loop for all of its instances."""

    loop: asyncio.AbstractEventLoop | None = None

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        mine = asyncio.get_running_loop()
        if OneLoop.loop is None or OneLoop.loop.is_closed():
            OneLoop.loop = mine
        assert mine is OneLoop.loop, "attached to a different loop"
        return await super().poll(remotes)


class ClosesOnce(KeptService):
    closed = False

    async def aclose(self) -> None:
        assert not self.closed, "closed already"
        self.closed = True


BROKEN: dict[type[KeptService], str] = {
    Nameless: "test_a_start_is_answered_with_a_name_that_can_be_kept",
    OneName: "test_a_start_is_answered_with_a_name_that_can_be_kept",
    Refusing: "test_a_start_is_answered_with_a_name_that_can_be_kept",
    Wordless: "test_a_start_is_answered_with_a_name_that_can_be_kept",
    CleansTwice: "test_parameters_are_taken_again_once_they_are_cleaned",
    Sorted: "test_looks_are_as_many_as_asked_for_and_in_that_order",
    EachOnce: "test_looks_are_as_many_as_asked_for_and_in_that_order",
    KnownOnly: "test_looks_are_as_many_as_asked_for_and_in_that_order",
    NoneOfNone: "test_nothing_is_asked_of_no_jobs",
    OneBatch: "test_more_jobs_are_looked_at_than_one_call_can_ask_for",
    Optimist: "test_a_job_that_nobody_knows_has_not_ended_well",
    StartsEachTime: "test_what_starts_once_is_started_once",
    FindsNothing: "test_what_finds_finds_what_was_started_and_nothing_else",
    FindsAnything: "test_what_finds_finds_what_was_started_and_nothing_else",
    Deaf: "test_a_cancel_leads_to_an_end",
    Forgiving: "test_an_end_is_an_end",
    Endless: "test_an_end_is_an_end",
    Leaking: "test_a_file_is_given_whole_or_let_go_of",
    Stubborn: "test_a_call_that_is_cancelled_spoils_no_other",
    Spoilt: "test_a_call_that_is_cancelled_spoils_no_other",
    OneByOne: "test_calls_are_made_side_by_side",
    OneLoop: "test_two_event_loops_have_an_adapter_each",
    ClosesOnce: "test_it_is_closed_twice_and_without_use",
}
"""Who breaks a promise, and the test that must find it out."""
