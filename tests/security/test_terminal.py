"""Whatever is in Redis, what a command prints is plain text: a terminal does what control characters say."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
import redis as client
from django.core.management import CommandError, call_command

from tests.redis import RedisServer

EVIL = "\x1b]0;pwned\x07\x1b[2J\rINFO\u202eall\u2028is-well\x85\n"
FAR = 9 * 10**15


@pytest.mark.parametrize("words", [("delayed", "status"), ("delayed", "dead"), ("doctor",)])
@pytest.mark.parametrize("name", [EVIL, b"\xff\x1b[2J"])
@pytest.mark.django_db(transaction=True)
def test_nothing_in_redis_speaks_to_a_terminal(
    settings: Any, redis: RedisServer, words: tuple[str, ...], name: Any
) -> None:
    settings.PROGROCK = {**settings.PROGROCK, "STORE": redis.url}
    evil = name.encode() if isinstance(name, str) else name
    with client.Redis.from_url(redis.url) as hands:
        hands.zadd("{delay.0}:schedulers", {evil: FAR})
        hands.hset("{delay.0}:readers", b"reader" + evil, b"5 %d channel" % FAR + evil)
        hands.hset("{delay.0}:entries", b"key" + evil, b"1 channel" + evil.replace(b" ", b"") + b" x")
        hands.zadd("{delay.0}:dead", {b"key" + evil: 1})
        hands.hset("{delay.0}:reasons", b"key" + evil, b"because" + evil)
    said, wrong = StringIO(), ""
    try:
        call_command(*words, stdout=said)
    except CommandError as error:
        wrong = str(error)
    printed = said.getvalue().splitlines(keepends=False)
    assert printed
    assert all(line.isprintable() for line in [*printed, *wrong.splitlines()])
    if words != ("doctor",):
        assert any("\\x1b" in line for line in printed)
