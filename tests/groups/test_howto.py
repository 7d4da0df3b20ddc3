"""What `docs/howto/group-jobs.md` says: its code works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from progrock.models import Job
from progrock.protocol import State
from tests.documents import code
from tests.groups.conftest import ME, end_of

PAGE = "howto/group-jobs.md"
pytestmark = pytest.mark.usefixtures("engine")


async def run(label: str, work: Callable[[dict[str, Any]], str], **known: Any) -> str:
    """Return what comes of the page's code, in which these names are known."""
    scope = dict(known)
    exec(code(PAGE, label), scope)

    def here() -> str:
        try:
            return work(scope)
        finally:
            connections.close_all()

    return await sync_to_async(here)()


async def test_the_night_is_over_when_all_is() -> None:
    checked: list[str] = []
    job = await run("group", lambda scope: str(scope["nightly"](ME, ["One", "Two"])), check=checked.append)
    end = await end_of(job)
    assert (end.title, end.state, end.message) == ("Nightly", State.SUCCEEDED, "3 of 3 done")
    assert checked == ["One", "Two"]


async def test_phases_are_found_by_their_names() -> None:
    job = await run("phases", lambda scope: str(scope["convert"](ME, "Film")), fetch=lambda video: 100)
    children = Job.objects.filter(parent__pk=job).order_by("created")
    assert [row.weight async for row in children] == [1, 3]
    assert (await end_of(job)).message == "2 of 2 done"


async def test_children_are_done_elsewhere() -> None:
    sent: list[tuple[str, str, str]] = []

    def book(scope: dict[str, Any]) -> str:
        job = str(scope["write_book"](ME, ["I", "II"], lambda *each: sent.append(each)))
        for each in sent:
            scope["write_chapter"](*each)
        return job

    end = await end_of(await run("elsewhere", book))
    assert (end.state, end.message) == (State.SUCCEEDED, "2 of 2 done")
    assert [chapter for _, chapter, _ in sent] == ["I", "II"]
