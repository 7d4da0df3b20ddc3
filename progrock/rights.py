"""Who may what: the class that the setting `RIGHTS` names, and the one that does where it names none."""

from __future__ import annotations

from collections.abc import Awaitable

from .caller import Caller, JobRef

Answer = bool | Awaitable[bool]
"""What a verb returns. True is yes, and nothing else is."""


class Rights:
    """Nobody may anything. Yours says who may, with `def` or `async def`; one made at the start of each process.

    What a caller may not watch is not there for them: `cancel` and `retry` are asked of what they may watch.
    """

    def start(self, caller: Caller, service: str) -> Answer:
        """Say whether the caller may start a job of a service, as a job of their own."""
        return False

    def watch(self, caller: Caller, job: JobRef) -> Answer:
        """Say whether the caller may see a job: how it stands, its journal, its result, its file, its events."""
        return False

    def cancel(self, caller: Caller, job: JobRef) -> Answer:
        """Say whether the caller may ask for a job's end."""
        return False

    def retry(self, caller: Caller, job: JobRef) -> Answer:
        """Say whether the caller may try a job again, for its owner; `start` is asked too."""
        return False

    def list(self, caller: Caller, owner: str) -> Answer:
        """Say whether the caller may list an owner's jobs, `*` for everybody's; `watch` is asked of each."""
        return False


class Owners(Rights):
    """Each may all with their own jobs and nothing with those of others, but for staff, and for who has a share link.

    Staff who have the permission `progrock.view_job` see everybody's; `progrock.change_job` lets them cancel and retry
    what they see.
    """

    async def start(self, caller: Caller, service: str) -> bool:
        return True

    async def watch(self, caller: Caller, job: JobRef) -> bool:
        return job.id == caller.shared or job.owner == caller.owner or await self._staff(caller, "view")

    async def cancel(self, caller: Caller, job: JobRef) -> bool:
        return job.owner == caller.owner or await self._staff(caller, "change")

    async def retry(self, caller: Caller, job: JobRef) -> bool:
        return job.owner == caller.owner or await self._staff(caller, "change")

    async def list(self, caller: Caller, owner: str) -> bool:
        return owner == caller.owner or await self._staff(caller, "view")

    async def _staff(self, caller: Caller, what: str) -> bool:
        user = caller.user
        return bool(
            getattr(user, "is_staff", False) and user.is_active and await user.ahas_perm(f"progrock.{what}_job")
        )
