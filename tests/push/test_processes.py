"""Code that tracks itself in processes of its own: forked, threaded, killed, and left alone by Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.push.stage import Stage
from tests.push.stage import stage as run
from tests.until import until


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with run(tmp_path_factory.mktemp("own")) as made:
        yield made


DONE = ("succeeded", 100.0, "")


async def test_a_process_that_ends_at_once_has_told_its_end(stage: Stage) -> None:
    stage.run("block", "block")
    assert (await stage.end("block"))[:3] == DONE


async def test_code_in_an_event_loop_and_a_plain_block_in_it(stage: Stage) -> None:
    stage.run("coroutine", "loop")
    assert [(await stage.end(f"loop {n}"))[:3] for n in range(2)] == [DONE] * 2


async def test_eight_threads_leave_no_connection_open(stage: Stage) -> None:
    stage.run("threads", "threads")
    assert [(await stage.end(f"threads {n}"))[:3] for n in range(8)] == [DONE] * 8


async def test_a_fork_tracks_its_own_and_ends_nothing_of_its_parents(stage: Stage) -> None:
    stage.run("fork", "fork")
    assert (await stage.end("fork child"))[:3] == DONE
    assert (await stage.end("fork parent"))[:3] == DONE


async def test_a_process_that_is_killed_is_noticed(stage: Stage) -> None:
    with stage.start("hang", "hang") as job, stage.start("group", "group") as group:
        for code in (job, group):
            assert code.stdout
            assert code.stdout.readline() == "ready\n"
        await until(lambda: stage.ended("group one"))
        for code in (job, group):
            code.kill()
    assert (await stage.end("hang"))[:3] == ("failed", 50.0, "lost")
    # What it had begun was over, and what else there should have been nobody knows.
    assert (await stage.end("group one"))[:3] == DONE
    assert (await stage.end("group"))[:3] == ("failed", 25.0, "lost")


@pytest.mark.parametrize("how", ["frozen", "gone", "emptied"])
async def test_while_redis_is_away_code_goes_on_and_its_end_is_told_later(stage: Stage, how: str) -> None:
    with stage.start("away", how) as code:
        assert code.stdin
        assert code.stdout
        assert code.stdout.readline() == "ready\n"
        away, back = {
            "frozen": (stage.redis.pause, stage.redis.resume),
            "gone": (stage.redis.stop, stage.redis.start),
            "emptied": (lambda: stage.redis.cli("FLUSHALL"), lambda: None),
        }[how]
        away()
        try:
            code.stdin.write("go\n")
            code.stdin.flush()
            assert code.stdout.readline() == "left\n"
        finally:
            back()
        state, percent, error, lines = await stage.end(how)
        assert (state, percent, error) == DONE
        # The newest thousand of the two thousand, and one that says how many are missing.
        assert 1_000 <= lines <= 2_001
        code.stdin.close()
        assert code.wait(40) == 0


async def test_a_redis_that_is_back_before_the_process_has_ended_is_told_the_end(stage: Stage) -> None:
    by_name = stage.redis.url.replace("127.0.0.1", "localhost")
    with stage.start("leave", "leave", REDIS_URL=by_name) as code:
        assert code.stdin
        assert code.stdout
        assert code.stdout.readline() == "ready\n"
        stage.redis.stop()
        try:
            code.stdin.write("go\n")
            code.stdin.flush()
            assert code.stdout.readline() == "left\n"
        finally:
            stage.redis.start()
        assert code.wait(40) == 0
    assert (await stage.end("leave"))[:1] == ("succeeded",)
