"""The people at a site that is being replaced: some of them have tabs on servers of both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.chaos.audience import Audience, Client


class Crowd(Audience):
    """An audience that opens more tabs while it is there."""

    def __init__(self, addresses: Callable[[], list[str]], seed: int) -> None:
        super().__init__(addresses, seed)
        self._late: list[tuple[Client, Client]] = []

    @property
    def clients(self) -> list[Client]:
        """All tabs."""
        return [*super().clients, *(client for _, client in self._late)]

    def open(self, addresses: Callable[[], list[str]]) -> None:
        """Let everybody open one more tab, which watches each of their jobs from its first line on."""
        for starter in self.starters:
            client = Client(addresses, starter._cookie, self._random.getrandbits(32), lists=False)
            self._late.append((starter, client))
            self._tasks.append(asyncio.create_task(client.run()))

    async def follow(self) -> None:
        """Have all tabs that watch do so with what has been started."""
        await super().follow()
        for starter, client in self._late:
            await client.follow(list(starter.jobs))
