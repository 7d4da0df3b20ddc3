"""The cancel of a job: the service is told to stop, until it says that it has."""

from __future__ import annotations

from msgspec.structs import replace

from ..delay import Lease
from ..protocol import State
from ..services import Service
from ..step import Decision, Run, cancelled
from .calls import Calls, Room, known
from .decisions import Decisions
from .ends import Ends
from .outcomes import Outcomes

_UNKNOWN = "Cancelled, but the service may go on with it: it cannot be asked for it."


class Cancels:
    """The cancels of one worker."""

    def __init__(self, calls: Calls, decisions: Decisions, ends: Ends) -> None:
        self._calls = calls
        self._decisions = decisions
        self._ends = ends

    async def cancel(self, lease: Lease, run: Run, *, begun: bool = True) -> Outcomes:
        """Tell the service to stop, and again at each step until it says that it has."""
        if run.snapshot.state is not State.CANCELLING:
            # The patience for a cancel is counted from here.
            run = replace(run, answered=lease.at, snapshot=replace(run.snapshot, state=State.CANCELLING))
        service = known(run.snapshot.service)
        if not begun and (service is None or service.begins):
            stream = self._ends.finish(lease, cancelled(run, "Cancelled before it began.", lease.at))
        elif service is None:
            stream = self._ends.unconfigured(lease, run)
        elif not run.remote and not service.finds:
            stream = self._ends.finish(lease, cancelled(run, _UNKNOWN, lease.at))
        else:
            with await self._calls.room(run.snapshot.service, 1, lease.at, first=True) as room:
                if room.waits:
                    decision = self._decisions.put_off(lease, run, room.waits[0])
                elif room.calls:
                    decision = await self._tell_to_end(lease, run, service, room)
                else:
                    decision = self._decisions.decide(lease, run, room.answer(), service)
            stream = self._decisions.settle([(lease, decision)])
        async for outcome in stream:
            yield outcome

    async def _tell_to_end(self, lease: Lease, run: Run, service: Service, room: Room) -> Decision:
        """Make the call, and before it the one that finds out what the service calls the job."""
        if not run.remote:
            remote = await self._calls.ask(run.snapshot.service, service.find(run.snapshot.job))
            if not isinstance(remote, str) or not remote:
                room.heard(remote)
                if remote is None or remote == "":
                    return Decision(cancelled(run, "Cancelled." if remote is None else _UNKNOWN, lease.at), 0)
                return self._decisions.decide(lease, run, remote, service)
            run = replace(run, remote=remote)
            self._calls.owe(run.snapshot.service)
        look = await self._calls.ask(run.snapshot.service, service.cancel(run.remote))
        room.heard(look)
        return self._decisions.decide(lease, run, look, service)
