"""The project's settings, with one service, which answers at once."""

import os

from config.settings import *  # noqa: F403
from config.settings import PROGROCK as _PROGROCK

# With it, Django keeps the text of each query.
DEBUG = False
ASGI_APPLICATION = "tests.benchmarks.timed.application"
_EVERY = int(os.environ.get("EVERY_MS", "1000"))
PROGROCK = {
    **_PROGROCK,
    "SERVICES": {
        "instant": {
            "BACKEND": "tests.benchmarks.instant.Instant",
            # The service asks to wait for longer, with jitter.
            "POLICY": {"interval": max(1, _EVERY * 9 // 10), "interval_most": max(1, _EVERY * 9 // 10)},
        }
    },
}
