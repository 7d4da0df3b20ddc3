"""All tabs of a load run: who they are, what they hold, and what keeps them going."""

from __future__ import annotations

import asyncio
import time
import urllib.request

from progrock.delay.finish import end
from tests.load.ledger import Seen
from tests.load.measure import Measure
from tests.load.tab import Tab


class Crowd:
    """Owners, each with some tabs.

    :param measure: how much of everything.
    :param prefix: what the keys of all starts begin with.
    """

    def __init__(self, measure: Measure, prefix: str) -> None:
        self.seen = Seen()
        self.tabs: list[Tab] = []
        self._measure = measure
        self._prefix = prefix
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        """Make the owners' sessions, have the tabs come one after the other, and start what they are to start."""
        measure = self._measure
        cookies = [await asyncio.to_thread(_session, measure.url) for _ in range(measure.owners)]
        for number in range(measure.sockets):
            room = measure.jobs // measure.sockets + (number < measure.jobs % measure.sockets)
            cookie = cookies[number % len(cookies)]
            self.tabs.append(Tab(measure.url, cookie, f"{self._prefix}{number}", room, measure.lasts, self.seen))
        self._tasks = [asyncio.create_task(self._look())]
        for tab in self.tabs:
            tab.going = True
            self._tasks.append(asyncio.create_task(tab.run()))
            await asyncio.sleep(measure.ramp / measure.sockets)

    def start_no_more(self) -> None:
        """Let what is in flight be the last."""
        for tab in self.tabs:
            tab.going = False

    async def leave(self) -> None:
        """Close all tabs."""
        await end(self._tasks)

    @property
    def in_flight(self) -> int:
        """How many jobs are not over, as the tabs know."""
        return sum(tab.in_flight for tab in self.tabs)

    @property
    def over(self) -> bool:
        """Whether all jobs are, and all tabs know."""
        return all(tab.over for tab in self.tabs)

    @property
    def accepted(self) -> dict[str, str]:
        """All jobs by the key they were started with."""
        return {key: job for tab in self.tabs for key, job in tab.ledger.accepted.items()}

    def broken(self) -> list[str]:
        """Return what went wrong with the tabs themselves."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [repr(task.exception()) for task in ended]

    async def _look(self) -> None:
        """Have every tab do what is due, once a second, a few at a time, so that none of it comes in bursts."""
        while True:
            began = time.monotonic()
            parts = 20
            for part in range(parts):
                for tab in self.tabs[part::parts]:
                    await tab.look()
                await asyncio.sleep(max(0.0, began + (part + 1) / parts - time.monotonic()))


def _session(url: str) -> str:
    """Return the cookie that the page gives a new visitor."""
    with urllib.request.urlopen(url, timeout=20) as response:
        cookies = response.headers.get_all("Set-Cookie") or []
    return str(next(cookie.split(";")[0] for cookie in cookies if cookie.startswith("sessionid=")))
