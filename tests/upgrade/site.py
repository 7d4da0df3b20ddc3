"""A site of two versions: one web server, worker and scheduler of each, that come and go while it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.chaos.stage import Seat, Stage
from tests.faults.crew import Code, Hand

LEASE = 12_000
"""Milliseconds of a step's lease."""


class Site(Stage):
    """The site. Nothing runs before a version comes."""

    def __init__(self, folder: Path) -> None:
        # What a new process starts beside may be kept waiting, and loses no lease over it.
        super().__init__(folder, RUN_LEASE=LEASE)
        self._hands: list[tuple[Code, Hand]] = []

    async def come(self, code: Code) -> None:
        """Start one of each, in the order that the how-to says, beside what runs."""
        seats = [self.scheduler(code), self.worker(code), self.web(code)]
        for seat in seats:
            seat.start()
            self._hands.append((code, seat.hand))
        for seat, there in zip(seats, (self.schedulers, self.workers, self.webs), strict=True):
            await seat.ready()
            there.append(seat)

    async def go(self, code: Code) -> None:
        """Let all of a version end in order, each before the next."""
        for there in (self.schedulers, self.workers, self.webs):
            (seat,) = [each for each in there if each.code is code]
            # Before it ends: nobody shall be led there any more.
            there.remove(seat)
            status, _ = await seat.hand.stop()
            assert status == 0, f"{seat.role} ended with {status} when it was asked to: " + "\n".join(seat.hand.log)

    def rather(self, code: Code) -> Callable[[], list[str]]:
        """Return what gives the addresses of web servers: of this version, while there are any."""

        def addresses() -> list[str]:
            own = [seat.url for seat in self.webs if seat.code is code]
            return own or [seat.url for seat in self.webs]

        return addresses

    def pids(self, code: Code) -> set[int]:
        """Return the ids of all processes of a version that have been."""
        return {hand.pid for each, hand in self._hands if each is code}

    def ended(self) -> list[Seat]:
        """Return the seats of what has ended by itself."""
        return [seat for seat in self.seats if seat.hand.code is not None]
