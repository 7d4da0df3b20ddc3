"""What every fault test needs: processes, and a store to put chains into and to look at afterwards."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from progrock import reconcile
from progrock.delay import NewEntry, RedisStore
from tests.conftest import until
from tests.faults.chains import chains, check_chains, check_empty, decode
from tests.faults.crew import Crew
from tests.redis import RedisServer

_numbers = itertools.count(1)


class Stage:
    """A crew, and the chains that it is to go through."""

    def __init__(self, crew: Crew, store: RedisStore) -> None:
        self.crew = crew
        self.store = store
        self.events = crew.events
        self.seeded: list[NewEntry] = []

    async def seed(self, count: int, *, steps: int, every: int) -> list[NewEntry]:
        """Schedule chains under new names."""
        new = chains(f"chain{next(_numbers)}-", count, steps=steps, every=every)
        await self.store.schedule(new)
        self.seeded.extend(new)
        return new

    async def over(self, within: float = 120, *, seeded: Sequence[NewEntry] = ()) -> None:
        """Wait until no chain is in the store."""
        keys = [entry.key for entry in seeded or self.seeded]

        async def gone() -> bool:
            return not any(await self.store.peek(keys))

        await until(gone, within)

    async def check(self, *, settles_told: bool = True) -> None:
        """Assert what must be true after every fault.

        :param settles_told: every settle that the store took was heard of: no worker was killed at it, no reply lost.
        """
        if settles_told:
            # The store is empty a moment before the worker has heard of it.
            steps = sum(decode(entry.message).of for entry in self.seeded)
            await until(lambda: len({(each.key, each.step) for each in self.events.of("settled")}) >= steps)
        check_chains(self.events, self.seeded)
        check_empty(self.crew.redis, self.seeded, {new.key for new in reconcile.standing()})


Open = Callable[..., Stage]


@pytest.fixture
async def open_stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Makes the test's stage, on the given Redis, or on one that tests share, with the environment given."""
    stages: list[Stage] = []

    def make(redis: RedisServer | None = None, **environment: object) -> Stage:
        on = redis or request.getfixturevalue("redis")
        folder = tmp_path / f"stage{len(stages)}"
        folder.mkdir()
        stages.append(Stage(Crew(on, folder, **environment), RedisStore.from_url(on.url)))
        return stages[-1]

    yield make
    for stage in stages:
        sys.stderr.write(stage.crew.say())  # pytest shows it if the test failed
        stage.crew.close()
        await stage.store.aclose()
