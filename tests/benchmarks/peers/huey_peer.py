"""huey: one consumer process of four threads; its scheduler looks once a second, which is the least it can."""

from __future__ import annotations

import time
from datetime import datetime

from huey import RedisHuey

from . import steps

huey = RedisHuey("bench", url=steps.REDIS, results=False, utc=False)


@huey.task()
def look(job: int, step: int, due: float) -> None:
    following = steps.take(job, step, due)
    if following is not None:
        look.schedule((job, step + 1, following), eta=datetime.fromtimestamp(following))


def seed() -> None:
    for job, due in enumerate(steps.first_dues(time.time() + 3)):
        look.schedule((job, 0, due), eta=datetime.fromtimestamp(due))
