"""A block of code as a job, from its first line to its end."""

from __future__ import annotations

import asyncio

import pytest

import progrock
from progrock import jobs
from progrock.protocol import State
from tests.push.conftest import ME, end_of

pytestmark = pytest.mark.usefixtures("engine")


async def test_a_block_is_a_job_that_succeeds() -> None:
    async with progrock.track("Import", owner=ME, total=4) as job:
        for _ in job.iterate(range(4)):
            await asyncio.sleep(0)
        job.log("warning", "row 17 skipped")
    end = await end_of(job.id)
    assert (end.title, end.state, end.percent, end.message) == ("Import", State.SUCCEEDED, 100, "Done.")
    assert [line.text for line in await jobs.ajournal(job.id, owner=ME)] == ["row 17 skipped"]
