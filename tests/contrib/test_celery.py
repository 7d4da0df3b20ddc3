"""A site's own Celery tasks as jobs: real workers, from the view that queues them to their end."""

from __future__ import annotations

import urllib.error

import pytest

from tests.contrib.conftest import Site, Visitor


def test_a_task_is_a_job_from_the_moment_it_is_queued_to_its_result(site: Site, visitor: Visitor) -> None:
    task = visitor.queue("press", copies=4, gate="half")
    assert visitor.job(task)["title"] == "Press"
    half = visitor.until(task, lambda job: job["message"] == "Halfway")
    assert (half["state"], half["percent"]) == ("running", 50)
    site.rooms.let("half")
    end = visitor.end_of(task)
    assert (end["state"], end["result"]) == ("succeeded", {"copies": 4})


def test_what_a_task_tells_celery_is_told(site: Site, visitor: Visitor) -> None:
    task = visitor.queue("upload", gate="sent")
    told = visitor.until(task, lambda job: job["percent"] is not None)
    assert (told["state"], told["percent"], told["message"]) == ("running", 25, "One of four")
    site.rooms.let("sent")
    end = visitor.end_of(task)
    assert (end["state"], end["result"]) == ("succeeded", "Sent")


def test_a_failure_says_why(visitor: Visitor) -> None:
    end = visitor.end_of(visitor.queue("scratch"))
    assert (end["state"], end["error"]["message"]) == ("failed", "ValueError: The record is scratched.")


def test_a_task_that_is_tried_again_waits_and_is_the_same_job(site: Site, visitor: Visitor) -> None:
    task = visitor.queue("again", seconds=4, gate="second")
    waits = visitor.until(task, lambda job: "tried again" in job["message"])
    assert waits["message"] == "It is tried again in 4 s: OSError: The needle is away."
    assert not waits["complete"]
    visitor.until(task, lambda job: job["message"] == "Attempt 2.")
    site.rooms.let("second")
    assert visitor.end_of(task)["result"] == "Second time"


def test_what_a_task_queues_is_of_the_same_owner_and_nobody_elses(site: Site, visitor: Visitor) -> None:
    parts = visitor.end_of(visitor.queue("album", tracks=2))["result"]
    assert [visitor.end_of(part)["state"] for part in parts] == ["succeeded"] * 4
    with pytest.raises(urllib.error.HTTPError, match="404"):
        Visitor(site).job(parts[0])


def test_a_task_whose_job_was_cancelled_while_it_waited_does_not_begin(site: Site, visitor: Visitor) -> None:
    busy = [visitor.queue("play", gate="busy") for _ in range(2)]
    for task in busy:
        visitor.until(task, lambda job: job["message"] == "Playing")
    waiting = visitor.queue("play", gate="never")
    visitor.post(f"prog/jobs/{waiting}/cancel")
    assert visitor.end_of(waiting)["state"] == "cancelled"
    for _ in busy:
        site.rooms.let("busy")
    assert [visitor.end_of(task)["result"] for task in busy] == ["Played"] * 2
    result = site.celery.AsyncResult(waiting)
    assert result.get(timeout=10, propagate=False).args == ("cancelled",)
    assert result.state == "REVOKED"


def test_a_revoked_task_is_a_cancelled_job(site: Site, visitor: Visitor) -> None:
    task = visitor.queue("play", gate="never")
    visitor.until(task, lambda job: job["message"] == "Playing")
    site.celery.control.revoke(task, terminate=True)
    end = visitor.end_of(task)
    assert (end["state"], end["message"]) == ("cancelled", "Its worker was told to stop it.")


def test_a_task_that_is_left_alone_is_a_cancelled_job(visitor: Visitor) -> None:
    assert visitor.end_of(visitor.queue("skip"))["state"] == "cancelled"


def test_a_task_that_another_replaces_is_still_the_same_job(visitor: Visitor) -> None:
    end = visitor.end_of(visitor.queue("swap"))
    assert (end["state"], end["title"], end["result"]) == ("succeeded", "Swap", {"copies": 2})


def test_a_task_that_is_given_back_to_its_queue_is_still_the_same_job(visitor: Visitor) -> None:
    end = visitor.end_of(visitor.queue("bounce", key="bounced"))
    assert (end["state"], end["result"], end["message"]) == ("succeeded", "Caught", "Done.")


def test_a_task_that_expires_says_so(visitor: Visitor) -> None:
    end = visitor.end_of(visitor.queue("play", gate="never", options={"expires": 0.1, "countdown": 0.5}))
    assert (end["state"], end["message"]) == ("cancelled", "It expired before a worker came to it.")


def test_a_task_that_runs_is_stopped_where_it_reports(site: Site, visitor: Visitor) -> None:
    task = visitor.queue("spin")
    visitor.until(task, lambda job: "/s" in job["message"])
    visitor.post(f"prog/jobs/{task}/cancel")
    assert visitor.end_of(task)["state"] == "cancelled"
    result = site.celery.AsyncResult(task)
    assert type(result.get(timeout=10, propagate=False)).__name__ == "Cancelled"


def test_a_task_whose_process_is_killed_fails_at_once(visitor: Visitor) -> None:
    end = visitor.end_of(visitor.queue("die"))
    assert end["state"] == "failed"
    assert end["error"]["message"].startswith("WorkerLostError: ")


def test_a_task_that_takes_too_long_fails_at_once(visitor: Visitor) -> None:
    end = visitor.end_of(visitor.queue("endless"))
    assert (end["state"], end["error"]["message"]) == ("failed", "TimeLimitExceeded: TimeLimitExceeded(1,)")
