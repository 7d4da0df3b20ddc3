"""What the steps of all peers share: parameters from the environment, and where they note themselves."""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
from array import array

EVERY = int(os.environ["EVERY_MS"]) / 1000
STEPS = int(os.environ["STEPS"])
REDIS = os.environ["REDIS_URL"]
_seen = array("q")
_lock = threading.Lock()


def take(job: int, step: int, due: float) -> float | None:
    """Note a step, and return when the next one is due, None if it was the last."""
    now = time.time()
    with _lock:
        _seen.extend((job, step, int((now - due) * 1_000_000)))
    return None if step + 1 == STEPS else now + EVERY * random.uniform(0.9, 1.1)


def first_dues(began: float) -> list[float]:
    """Return when the first step of each job is due, spread over one interval."""
    return [began + random.uniform(0, EVERY) for _ in range(int(os.environ["JOBS"]))]


def write() -> None:
    """Write down what was noted; again, and it is written again."""
    with _lock, open(os.path.join(os.environ["STEPS_FOLDER"], f"{os.getpid()}.steps"), "wb") as file:  # noqa: PTH118, PTH123
        _seen.tofile(file)


def _write_now_and_then() -> None:
    # Some peers end their processes without the exit handlers.
    while True:
        time.sleep(1)
        write()


if "STEPS_FOLDER" in os.environ:
    atexit.register(write)
    threading.Thread(target=_write_now_and_then, daemon=True).start()
