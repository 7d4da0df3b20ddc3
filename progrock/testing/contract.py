"""What every adapter promises, as tests that its author runs against the real remote."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ..protocol import State
from ..services import Service
from ..step import Reading
from .talk import Talk, own_loop, talking, wrong

NOBODY = "nobody-knows-this-job"


class AdapterContract:
    """Take this as the base of a test class; pytest runs it, and unittest if `TestCase` is a base too.

    Each test has an event loop of its own, and stops the jobs that it has started.
    """

    runs: Mapping[str, Any] = {}
    """Parameters of a job that goes on for a minute or more."""
    ends: Mapping[str, Any] = {}
    """Parameters of a job that succeeds within :attr:`patience`."""
    cancels = True
    """Whether the service can be told to stop a job."""
    patience = 10.0
    """Seconds for a job to end."""

    def adapter(self) -> Service:
        """Return a new adapter; give it few connections, so that those it loses are missed."""
        raise NotImplementedError("Expected a method `adapter` that returns a new adapter.")

    def test_a_start_is_answered_with_a_name_that_can_be_kept(self) -> None:
        async def check(talk: Talk) -> None:
            first, second = await talk.start(self.runs), await talk.start(self.runs)
            if first == second:
                wrong("a name of its own for each job", first)

        self._talk(check)

    def test_parameters_are_taken_again_once_they_are_cleaned(self) -> None:
        async def check(talk: Talk) -> None:
            for params in (self.runs, self.ends):
                cleaned = talk.service.clean(dict(params))
                again = talk.service.clean(dict(cleaned))
                if again != cleaned:
                    wrong(f"clean() to leave {cleaned} as it is", again)
                if not isinstance(talk.service.title(cleaned), str):
                    wrong("a title that is text", talk.service.title(cleaned))

        self._talk(check)

    def test_looks_are_as_many_as_asked_for_and_in_that_order(self) -> None:
        async def check(talk: Talk) -> None:
            runs, ends = await talk.start(self.runs), await talk.start(self.ends)
            await talk.until_over(ends)
            for names in ([runs, ends], [ends, runs], [runs, ends, runs, ends, ends], [NOBODY, ends, runs]):
                for name, look in zip(names, await talk.looks(names), strict=True):
                    over = isinstance(look, Reading) and look.state.complete
                    if over != (name == ends):
                        wrong(f"the look at {name!r}, asked for {names}", look)

        self._talk(check)

    def test_nothing_is_asked_of_no_jobs(self) -> None:
        async def check(talk: Talk) -> None:
            await talk.looks([])

        self._talk(check)

    def test_more_jobs_are_looked_at_than_one_call_can_ask_for(self) -> None:
        async def check(talk: Talk) -> None:
            name = await talk.start(self.runs)
            looks = await talk.looks([*(f"{NOBODY}-{n}" for n in range(talk.service.batch)), name])
            if not isinstance(looks[-1], Reading):
                wrong(f"a reading of the job after {talk.service.batch} others", looks[-1])

        self._talk(check)

    def test_a_job_that_nobody_knows_has_not_ended_well(self) -> None:
        async def check(talk: Talk) -> None:
            for look in [*await talk.looks([NOBODY]), await talk.cancel(NOBODY)]:
                if isinstance(look, Reading) and look.state is State.SUCCEEDED:
                    wrong("a miss, or at most a job that waits", look)
            await talk.closed(NOBODY)

        self._talk(check)

    def test_what_starts_once_is_started_once(self) -> None:
        async def check(talk: Talk) -> None:
            if not talk.service.starts_once:
                return
            order = talk.order(self.runs)
            first, second = await talk.started(order), await talk.started(order)
            if first != second:
                wrong(f"the job {first!r} at its second start too", second)

        self._talk(check)

    def test_what_finds_finds_what_was_started_and_nothing_else(self) -> None:
        async def check(talk: Talk) -> None:
            if not talk.service.finds:
                return
            order = talk.order(self.runs)
            name = await talk.started(order)
            await talk.until_begun(name)
            if (found := await talk.find(order.job)) != name:
                wrong(f"the job {name!r}", found)
            if isinstance(found := await talk.find(str(uuid.uuid4())), str):
                wrong("None, or a miss, for a job that never was", found)

        self._talk(check)

    def test_a_cancel_leads_to_an_end(self) -> None:
        async def check(talk: Talk) -> None:
            name = await talk.start(self.runs)
            if not self.cancels:
                await talk.cancel(name)
                return
            ended = await talk.until_over(name, talk.cancel)
            if ended.state is not State.CANCELLED:
                wrong("a job that was stopped to be cancelled", ended)
            (look,) = await talk.looks([name])
            if isinstance(look, Reading) and not look.state.complete:
                wrong("the job to stay over", look)

        self._talk(check)

    def test_an_end_is_an_end(self) -> None:
        async def check(talk: Talk) -> None:
            name = await talk.start(self.ends)
            ended = await talk.until_over(name)
            if ended.state is not State.SUCCEEDED:
                wrong("the job with the parameters `ends` to succeed", ended)
            look = await talk.look(name)
            if not isinstance(look, Reading) or look.state is not ended.state:
                wrong("a job that has succeeded to stay so", look)
            # Some put away what has succeeded when they are told to stop it, but it does not come back.
            told, after = await talk.cancel(name), await talk.look(name)
            for look in (told, after):
                if isinstance(look, Reading) and not look.state.complete:
                    wrong("a job that has succeeded to stay over, though it is told to stop", look)
            if isinstance(told, Reading) and isinstance(after, Reading) and told.state is not after.state:
                wrong(f"a job that is {told.state} to stay so", after)

        self._talk(check)

    def test_a_file_is_given_whole_or_let_go_of(self) -> None:
        async def check(talk: Talk) -> None:
            name = await talk.start(self.ends)
            ended = await talk.until_over(name)
            if ended.file is None:
                await talk.closed(name)
                return
            whole = await talk.read(name)
            for some in (0, 1, 0, 1):  # what is closed before its end must not keep a connection
                await talk.closed(name, some)
            if (again := await talk.read(name)) != whole:
                wrong(f"the same {len(whole)} bytes again", f"{len(again)} bytes")

        self._talk(check)

    def test_a_call_that_is_cancelled_spoils_no_other(self) -> None:
        async def check(talk: Talk) -> None:
            name = await talk.start(self.runs)
            for ticks in (0, 1, 2, 3, 5, 8, 13, 21):
                call = asyncio.ensure_future(talk.service.poll([name]))
                for _ in range(ticks):
                    await asyncio.sleep(0)
                done = call.done()
                call.cancel()
                await asyncio.wait([call], timeout=self.patience)
                if not call.done() or not (done or call.cancelled()):
                    wrong("a call that is cancelled to end so", call)
            (look,) = await talk.looks([name])
            if not isinstance(look, Reading):
                wrong("a reading after calls that were cancelled", look)

        self._talk(check)

    def test_calls_are_made_side_by_side(self) -> None:
        async def check(talk: Talk) -> None:
            name = await talk.start(self.runs)
            for (look,) in await asyncio.gather(*(talk.looks([name]) for _ in range(20))):
                if not isinstance(look, Reading):
                    wrong("a reading for each of 20 calls side by side", look)

        self._talk(check)

    def test_two_event_loops_have_an_adapter_each(self) -> None:
        with own_loop() as here, own_loop() as there:
            mine, other = Talk(self.adapter(), self.patience), Talk(self.adapter(), self.patience)
            name = here.run(mine.start(self.runs))
            try:
                for runner, talk in ((there, other), (here, mine), (there, other)):
                    (look,) = runner.run(talk.looks([name]))
                    if not isinstance(look, Reading):
                        wrong("a reading in either of two event loops", look)
            finally:
                there.run(other.over())
                here.run(mine.over())

    def test_it_is_closed_twice_and_without_use(self) -> None:
        async def check(talk: Talk) -> None:
            unused = self.adapter()
            for service in (unused, unused, talk.service):
                await talk.within(service.aclose())

        self._talk(check)

    def _talk(self, check: Callable[[Talk], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            async with talking(self.adapter(), self.patience) as talk:
                await check(talk)

        with own_loop() as runner:
            runner.run(run())
