"""A conversation with an adapter, in which every answer must be what was promised."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn, TypeVar

from ..protocol import State
from ..services import Elsewhere, File, Order, Service, Started
from ..services.answers import checked, sane
from ..step import CODES, Look, Miss, Reading

T = TypeVar("T")
_STATUSES = (200, 206, 304, 416)


def own_loop() -> asyncio.Runner:
    """Return an event loop that nobody else knows of, for coroutines to be run in."""
    return asyncio.Runner(loop_factory=asyncio.new_event_loop)


def wrong(expected: str, got: object) -> NoReturn:
    """Fail.

    :raises AssertionError: saying what was expected and what came.
    """
    text = got if isinstance(got, str) else repr(got)
    raise AssertionError(f"Expected {expected}, got {text[:500]}.")


class Talk:
    """A conversation with an adapter, in which every answer is what was promised.

    :param service: the adapter.
    :param patience: seconds for any one answer, and for a job to end.
    """

    def __init__(self, service: Service, patience: float) -> None:
        self.service = service
        self._patience = patience
        self._started: list[str] = []

    async def within(self, call: Awaitable[T]) -> T:
        """Return what a call answers.

        :raises AssertionError: if it takes too long, or raises.
        """
        try:
            async with asyncio.timeout(self._patience) as limit:
                return await call
        except Exception as error:
            if limit.expired():
                wrong("an answer or a miss in time", f"none within {self._patience:g} s")
            raise AssertionError(f"Expected an answer or a miss, and nothing raised, got {error!r}.") from error

    def order(self, params: Mapping[str, Any]) -> Order:
        """Return a new job to be started."""
        return Order(str(uuid.uuid4()), self.service.clean(dict(params)))

    async def begin(self, order: Order) -> Started | Miss:
        """Return what becomes of a start."""
        answer = await self.within(self.service.start(order))
        if isinstance(answer, Miss):
            return missed(answer)
        if isinstance(checked(answer), Miss):
            wrong("Started with a name of 1 to 200 printable characters, or a Miss", answer)
        self._started.append(answer.remote)
        look_of(answer.reading)
        return answer

    async def start(self, params: Mapping[str, Any]) -> str:
        """Start a job that the service takes on, and return its name for it."""
        return await self.started(self.order(params))

    async def started(self, order: Order) -> str:
        """Start this job, which the service takes on, and return its name for it."""
        answer = await self.begin(order)
        if isinstance(answer, Miss):
            wrong(f"a job to be started with {order.params}", answer)
        return answer.remote

    async def looks(self, names: Sequence[str]) -> Sequence[Look]:
        """Look at jobs, by the service's names for them."""
        looks = await self.within(self.service.poll(names))
        if len(looks) != len(names):
            wrong(f"{len(names)} looks", looks)
        return [look_of(look) for look in looks]

    async def look(self, name: str) -> Look:
        """Look at one job."""
        (look,) = await self.looks([name])
        return look

    async def cancel(self, name: str) -> Look:
        """Tell the service to stop a job."""
        return look_of(await self.within(self.service.cancel(name)))

    async def find(self, job: str) -> str | Miss | None:
        """Look for a job by its own id; that nobody can know whether it was started is an answer, too."""
        found = await self.within(self.service.find(job))
        if isinstance(found, Miss):
            return missed(found, CODES | {"start_unknown"})
        if found is not None and isinstance(checked(Started(found)), Miss):
            wrong("a name of 1 to 200 printable characters, None or a Miss", found)
        return found

    async def until_over(self, name: str, ask: Callable[[str], Awaitable[Look]] | None = None) -> Reading:
        """Ask of a job until it is over, by a look if not told how."""
        return await self._until(name, lambda state: state.complete, ask or self.look)

    async def until_begun(self, name: str) -> Reading:
        """Look at a job until it does not wait any more."""
        return await self._until(name, lambda state: state is not State.PENDING, self.look)

    async def _until(
        self, name: str, reached: Callable[[State], bool], ask: Callable[[str], Awaitable[Look]]
    ) -> Reading:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while True:
            look = await ask(name)
            if isinstance(look, Reading) and reached(look.state):
                return look
            if loop.time() > end:
                wrong(f"another answer within {self._patience:g} s", look)
            await asyncio.sleep(0.05)

    async def closed(self, name: str, some: int = 0) -> None:
        """Open a job's file, read from it some times, and let it go."""
        opened = await self.open(name)
        if isinstance(opened, File):
            for _ in range(some):
                await self.within(_piece(opened))
            await self.within(opened.body.aclose())

    async def read(self, name: str) -> bytes:
        """Return the whole of a job's file, which there is; nothing, if it is elsewhere."""
        opened = await self.open(name)
        if isinstance(opened, Elsewhere):
            return b""
        if not isinstance(opened, File):
            wrong("the file of a job that says it has one", opened)
        pieces = []
        while piece := await self.within(_piece(opened)):
            pieces.append(piece)
        return b"".join(pieces)

    async def over(self) -> None:
        """Stop what was started, and let go of the adapter."""
        for name in dict.fromkeys(self._started):
            await self.cancel(name)
        await self.within(self.service.aclose())

    async def open(self, name: str) -> File | Elsewhere | Miss:
        """Open a job's file."""
        opened = await self.within(self.service.open(name, {}))
        if isinstance(opened, Miss):
            return missed(opened)
        if isinstance(opened, File) and opened.status not in _STATUSES:
            wrong(f"a file with one of the statuses {_STATUSES}", opened.status)
        if isinstance(opened, Elsewhere) and not opened.url.startswith(("https://", "http://")):
            wrong("a URL with http or https", opened.url)
        return opened


@asynccontextmanager
async def talking(service: Service, patience: float) -> AsyncIterator[Talk]:
    """Talk to an adapter; afterwards its jobs are stopped, and it is closed."""
    talk = Talk(service, patience)
    try:
        yield talk
    except BaseException:
        with suppress(AssertionError):  # what went wrong first is what should be seen
            await talk.over()
        raise
    await talk.over()


def look_of(look: object) -> Look:
    """Return a look that can be told and kept.

    :raises AssertionError: if it is none.
    """
    if isinstance(look, Miss):
        return missed(look)
    kept = sane(look)
    if isinstance(kept, Miss):
        wrong("a Reading or a Miss that can be told and kept", look)
    if kept.state is State.CANCELLING:
        wrong("a state that a service can be in", look)
    return kept


def missed(miss: Miss, codes: frozenset[str] = CODES) -> Miss:
    """Return a miss that a person understands.

    :param codes: what it may be.
    :raises AssertionError: if its code is unknown, or its message empty, long or of several lines.
    """
    if miss.code not in codes:
        wrong(f"one of the codes {', '.join(sorted(codes))}", miss)
    if not 0 < len(miss.message) <= 200 or not miss.message.isprintable():
        wrong("a message of one line that a person understands", miss)
    return miss


async def _piece(file: File) -> bytes:
    """Return what comes next of a file, nothing at its end."""
    async for piece in file.body:
        if piece:
            return piece
    return b""
