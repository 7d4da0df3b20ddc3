"""Groups, from their first child to their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

import progrock
from progrock import groups, jobs, push, registry, standing
from progrock.conf import parse
from progrock.delay import StoreAway
from progrock.exceptions import Invalid, InvalidParams, NotFound
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.push.rows import new_row
from progrock.step import Reading, Run, too_soon
from tests.conftest import until
from tests.groups.conftest import ME, end_of, seen
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("engine")
HALF = Reading(State.RUNNING, 50)
FAILED = Reading(State.FAILED, message="No tape.")


async def test_a_group_is_over_when_its_block_and_all_of_its_children_are(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME) as group:
        async with group.track("Download") as job:
            job.report(1, total=1)
        child = await group.astart("scripted", {"title": "Render"})
        assert child.parent == group.id
        await seen(group.id, message="1 of 2 done")
    shown = await seen(group.id, percent=75.0)
    assert (shown.title, shown.state, shown.message) == ("Nightly", State.RUNNING, "1 of 2 done")
    remote.say(Reading(State.SUCCEEDED), job=child.job)
    end = await end_of(group.id)
    assert (end.state, end.message, end.percent) == (State.SUCCEEDED, "2 of 2 done", 100)
    assert end.result == {"succeeded": 2, "failed": 0, "cancelled": 0, "running": 0}


async def test_it_works_from_code_that_is_not_async(remote: Remote) -> None:
    def nightly() -> str:
        try:
            with progrock.group("Nightly", owner=ME, failures=None) as group:
                group.start("scripted")
                with pytest.raises(ZeroDivisionError), group.track("Divide"):
                    1 / 0  # noqa: B018
                group.log("warning", "Nobody can do that.")
            return group.id
        finally:
            connections.close_all()

    job = await sync_to_async(nightly)()
    end = await end_of(job)
    assert (end.state, end.message) == (State.SUCCEEDED, "1 of 2 done, 1 failed")
    assert [line.text for line in await jobs.ajournal(job, owner=ME)] == ["Nobody can do that."]


async def test_phases_have_their_weights_before_they_begin(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME, phases={"Download": 1, "scripted": 3}) as group:
        async with group.track("Download") as job:
            job.report(percent=50)
            await seen(group.id, percent=12.5, message="0 of 2 done")
        await seen(group.id, percent=25.0, message="1 of 2 done")
        child = await group.astart("scripted")
        await seen(group.id, percent=62.5)
        assert [row.weight async for row in Job.objects.filter(parent__pk=group.id).order_by("created")] == [1, 3]
        remote.say(Reading(State.SUCCEEDED), job=child.job)
    assert (await end_of(group.id)).state is State.SUCCEEDED


async def test_what_nobody_announced_has_no_percentage_until_all_of_it_is_there(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME) as group:
        child = await group.astart()
        await seen(child.job, percent=50.0)
        assert (await seen(group.id, message="0 of 1 done")).percent is None
    await seen(group.id, percent=50.0)
    remote.say(Reading(State.SUCCEEDED), job=child.job)
    await end_of(group.id)


async def test_the_percentage_never_goes_backwards(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    remote.say(Reading(State.RUNNING, 80))
    async with progrock.group("Nightly", owner=ME, expected=1) as group:
        children = [await group.astart()]
        await seen(group.id, percent=80.0)
        children.append(await group.astart(weight=8))  # more than was announced
        remote.say(HALF, job=children[1].job)
        await seen(group.id, message="0 of 2 done", percent=80.0)
        for child in children:
            remote.say(Reading(State.SUCCEEDED), job=child.job)
            await seen(group.id, message=f"{children.index(child) + 1} of 2 done")
            assert ((await jobs.aget(group.id, owner=ME)).percent or 0) >= 80
    await end_of(group.id)
    assert "went back" not in caplog.text


@pytest.mark.parametrize("net", [60_000])
async def test_a_child_that_ends_has_its_group_looked_at(remote: Remote) -> None:
    async def left_alone(percent: float | None) -> bool:
        shown = await jobs.aget(group.id, owner=ME)
        return shown.percent == percent and (shown.due or 0) - shown.at > 50_000

    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME, failures=None) as group:
        children = [await group.astart() for _ in range(2)]
        await until(lambda: left_alone(None))
        remote.say(FAILED, job=children[0].job)
        await seen(group.id, message="0 of 2 done, 1 failed")
    await until(lambda: left_alone(75.0))
    remote.say(Reading(State.SUCCEEDED), job=children[1].job)
    assert (await end_of(group.id)).message == "1 of 2 done, 1 failed"


async def test_a_group_is_looked_at_twice_a_second_at_most() -> None:
    policy = parse({}).services["group"].policy
    assert (policy.interval, policy.net) == (500, 500)
    run = Run(ME, Snapshot("j", "group", "", State.RUNNING, created=0, at=10_000), remote="j")
    later = too_soon(run, policy, 10_100_000)
    assert later is not None
    assert later.delay == 400
    assert too_soon(run, policy, 10_500_000) is None


@pytest.mark.parametrize(
    ("failures", "state"), [(0, State.FAILED), (1, State.FAILED), (2, State.SUCCEEDED), (None, State.SUCCEEDED)]
)
async def test_so_many_children_may_fail(remote: Remote, failures: int | None, state: State) -> None:
    remote.say(FAILED)
    async with progrock.group("Nightly", owner=ME, failures=failures) as group:
        for _ in range(2):
            await group.astart()
        async with group.track("Works"):
            pass
    end = await end_of(group.id)
    assert (end.state, end.message) == (state, "1 of 3 done, 2 failed")
    assert end.result == (
        {"succeeded": 1, "failed": 2, "cancelled": 0, "running": 0} if state is State.SUCCEEDED else None
    )


async def test_a_group_without_children_is_done_when_it_is_left(remote: Remote) -> None:
    async with progrock.group("Nightly", owner=ME, expected=0) as group:
        pass
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.SUCCEEDED, "Done.")
    assert end.result == {"succeeded": 0, "failed": 0, "cancelled": 0, "running": 0}


async def test_a_block_that_raises_fails_the_group_once_its_children_are_over(remote: Remote) -> None:
    remote.say(HALF)
    group = progrock.group("Nightly", owner=ME)

    async def nightly() -> None:
        async with group:
            await group.astart()
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        await nightly()
    ((child,), _) = await jobs.apage(owner=ME, parent=group.id)
    await seen(group.id, percent=50.0)
    remote.say(Reading(State.SUCCEEDED), job=child.job)
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.FAILED, "ValueError: no more")


async def test_code_may_say_that_its_group_has_failed(remote: Remote) -> None:
    async with progrock.group("Nightly", owner=ME) as group:
        group.part({"tape": 1}, "One tape")
        await group.astart()
        group.fail("The others are gone.")
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.FAILED, "The others are gone.")
    assert [line.data for line in await jobs.ajournal(group.id, owner=ME)] == [{"tape": 1}]
    assert [each.state for each in (await jobs.apage(owner=ME, parent=group.id))[0]] == [State.SUCCEEDED]


async def test_a_cancel_reaches_the_children_and_the_block(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME) as group:
        child = await group.astart()
        async with group.group("Part", expected=1) as part:
            grandchild = await part.astart()
        await seen(grandchild.job, percent=50.0)
        assert (await jobs.acancel(group.id, owner=ME)).state is State.CANCELLING
        assert (await end_of(child.job)).state is State.CANCELLED
        assert (await end_of(grandchild.job)).state is State.CANCELLED
        assert (await end_of(part.id)).state is State.CANCELLED
        # Its code has not been heard since.
        assert (await jobs.aget(group.id, owner=ME)).state is State.CANCELLING
        late = await jobs.astart(owner=ME, parent=group.id)
        await until(lambda: group.cancelled)
        await group.astart()
        raise AssertionError("expected that no child can be started any more")
    assert (await end_of(late.job)).state is State.CANCELLED
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.CANCELLED, "0 of 3 done, 3 cancelled")
    assert sorted(remote.cancels) == sorted(
        f"r-{each.job}" for each in (child, grandchild, late) if each.job in remote.starts
    )


async def test_a_group_that_was_left_is_cancelled_with_its_children(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME, failures=None) as group:
        remote.say(FAILED, job=(await group.astart()).job)
        await group.astart()
    await seen(group.id, message="0 of 2 done, 1 failed")
    await jobs.acancel(group.id, owner=ME)
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.CANCELLED, "0 of 2 done, 1 failed, 1 cancelled")


async def test_a_deadline_ends_the_children_too(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME, deadline=200) as group:
        child = await group.astart()
    end = await end_of(group.id)
    assert (end.state, end.error and end.error.code) == (State.FAILED, "deadline")
    assert (await end_of(child.job)).state is State.CANCELLED


async def _abandoned() -> str:
    """Return a group whose process was killed just now."""
    row = new_row("Nightly", owner=ME)
    row.service, row.created, row.changed = "group", timezone.now(), timezone.now()
    await row.asave(force_insert=True)
    await registry.inbox().put(str(row.pk))
    await registry.store().schedule([standing.entry_for(row, 0)])
    return str(row.pk)


@pytest.mark.parametrize(("quiet", "patience"), [(20, 300)])
async def test_a_group_whose_process_died_is_lost_after_its_children(remote: Remote) -> None:
    remote.say(HALF)
    group = await _abandoned()
    child = await jobs.astart(owner=ME, parent=group)
    await seen(child.job, percent=50.0)
    await asyncio.sleep(0.5)  # longer than it is silent, and than the policy is patient
    shown = await jobs.aget(group, owner=ME)
    assert (shown.state, shown.misses) == (State.RUNNING, 0)
    remote.say(Reading(State.SUCCEEDED), job=child.job)
    await until(lambda: _quiet(group))
    end = await end_of(group)
    assert (end.state, end.error and end.error.code) == (State.FAILED, "lost")


async def _quiet(job: str) -> bool:
    return (await jobs.aget(job, owner=ME)).misses > 0


@pytest.mark.parametrize("quiet", [20])
async def test_a_cancel_of_a_group_whose_process_died_does_not_wait_for_it(remote: Remote) -> None:
    remote.say(HALF)
    group = await _abandoned()
    child = await jobs.astart(owner=ME, parent=group)
    await seen(child.job, percent=50.0)
    await jobs.acancel(group, owner=ME)
    end = await end_of(group)
    assert (end.state, end.message) == (State.CANCELLED, "Cancelled.")
    assert (await end_of(child.job)).state is State.CANCELLED


@pytest.mark.parametrize("track_quiet", [500])
async def test_a_child_whose_process_died_counts_as_failed(remote: Remote) -> None:
    async with progrock.group("Nightly", owner=ME, failures=1) as group:
        child = await push.acreate("Lost", owner=ME, parent=group.id)
        await push.areport(child.job, percent=10)
        end = await end_of(child.job)
        assert (end.error and end.error.code) == "lost"
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.SUCCEEDED, "0 of 1 done, 1 failed")


async def test_that_it_is_complete_is_remembered_when_the_inbox_forgets(remote: Remote) -> None:
    remote.say(HALF)
    async with progrock.group("Nightly", owner=ME) as group:
        child = await group.astart()
    await seen(group.id, percent=50.0)
    await registry.inbox().aclose()
    registry.inbox.cache_clear()
    remote.say(Reading(State.SUCCEEDED), job=child.job)
    assert (await end_of(group.id)).state is State.SUCCEEDED


async def test_a_child_that_is_tried_again_counts_as_its_new_attempt(remote: Remote) -> None:
    remote.say(FAILED)
    async with progrock.group("Nightly", owner=ME) as group:
        child = await group.astart()
        await end_of(child.job)
        remote.say(Reading(State.SUCCEEDED))
        await jobs.aretry(child.job, owner=ME)
    end = await end_of(group.id)
    assert (end.state, end.message) == (State.SUCCEEDED, "1 of 1 done")


async def test_while_children_cannot_be_counted_the_group_waits(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(remotes: object) -> None:
        raise StoreAway("away")

    async with progrock.group("Nightly", owner=ME) as group:
        await seen(group.id, state=State.RUNNING)
        with monkeypatch.context() as broken:
            broken.setattr("progrock.groups.service.roll_up", away)
            await until(lambda: _quiet(group.id))
    assert (await end_of(group.id)).state is State.SUCCEEDED


async def test_a_group_that_is_there_is_gone_on_with(remote: Remote) -> None:
    async with progrock.group("Nightly", owner=ME, job="nightly-2026-11-21") as group:
        async with progrock.group("Nightly", owner=ME, job="nightly-2026-11-21") as same:
            assert same.id == group.id
        with pytest.raises(NotFound):
            await progrock.group("Nightly", owner="user:8", job="nightly-2026-11-21").__aenter__()
    await end_of(group.id)


async def test_no_client_starts_a_group_and_nobody_adds_to_somebody_elses(remote: Remote) -> None:
    with pytest.raises(InvalidParams):
        await jobs.astart("group", owner=ME)
    async with progrock.group("Nightly", owner="user:8") as group:
        with pytest.raises(NotFound):
            await progrock.track("Mine", owner=ME, parent=group.id).__aenter__()
        with pytest.raises(NotFound):
            await jobs.astart(owner=ME, parent=group.id)
    assert await Job.objects.acount() == 1
    await until(lambda: Job.objects.filter(state="succeeded").aexists())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"phases": {"a": 0}}, "phases: expected a weight above 0 for each title, got 0 for 'a'"),
        ({"phases": {1: 1}}, "phases: expected a weight"),
        ({"phases": {"a": float("nan")}}, "phases: expected a weight"),
        ({"phases": {str(n): 1 for n in range(101)}}, "phases: expected at most 100, got 101"),
        ({"expected": -1}, "expected: expected a number from 0 to 1000000, got -1"),
        ({"expected": 1.5}, "expected: expected a number"),
        ({"failures": True}, "failures: expected a number from 0 to 1000000, got True"),
    ],
)
async def test_what_can_be_no_group_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        progrock.group("Nightly", owner=ME, **more)
    assert await Job.objects.acount() == 0


async def test_the_names_are_there_without_django() -> None:
    assert (progrock.group, progrock.Group) == (groups.group, groups.Group)
