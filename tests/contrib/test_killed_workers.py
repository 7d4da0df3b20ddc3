"""A worker of a site's own tasks that is killed: whoever waits for it is told."""

from __future__ import annotations

from tests.contrib.conftest import Site, Visitor


def test_a_killed_worker_is_noticed_by_its_silence(site: Site, visitor: Visitor) -> None:
    task = visitor.queue("play", gate="never")
    visitor.until(task, lambda job: job["message"] == "Playing")
    said = f"{{inbox}}:jobs:{task}:said"

    def heard() -> str:
        return site.rooms.redis.cli("HGET", said, "at")

    # It blocks, and is alive.
    before = heard()
    visitor.until(task, lambda _: heard() != before)
    site.rooms.worker.kill()
    # As if it had been long ago.
    site.rooms.redis.cli("HSET", said, "at", 1)
    end = visitor.end_of(task)
    assert (end["state"], end["error"]["code"]) == ("failed", "lost")
