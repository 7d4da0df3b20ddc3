"""The token bucket."""

from __future__ import annotations

from progrock.bucket import Bucket


def test_a_bucket_fills_again_and_not_beyond_its_burst() -> None:
    now = 0.0
    bucket = Bucket(1, 2, lambda: now)
    taken = [bucket.take() for _ in range(3)]
    now = 1.0
    taken += [bucket.take() for _ in range(2)]
    now = 100.0
    taken += [bucket.take() for _ in range(3)]
    assert taken == [True, True, False, True, False, True, True, False]
