"""The project's settings, with one remote service, spoken to as WAY says: declared or by hand, singly or together."""

import os
from typing import Any

from config.settings import *  # noqa: F403
from config.settings import PROGROCK as _PROGROCK

# With it, Django keeps the text of each query.
DEBUG = False
ASGI_APPLICATION = "tests.benchmarks.timed.application"
_EVERY = int(os.environ.get("EVERY_MS", "1000"))
_URL = os.environ.get("REMOTE_URL", "http://127.0.0.1:8900")
_SINGLY: dict[str, Any] = {
    "base_url": _URL,
    "start": {"call": "POST /jobs", "json": "{job: job}"},
    "status": {"call": "GET /jobs/{remote}"},
    "reading": {
        "remote": "id",
        "state": "status",
        "done": "progress.done",
        "total": "progress.total",
        "message": "message",
        "again": "wait",
    },
    "states": {"running": "running", "finished": "succeeded"},
}
_TOGETHER = {**_SINGLY, "batch": {"call": "POST /status", "json": "{ids: remotes}", "each": "jobs", "size": 250}}
WAYS: dict[str, dict[str, Any]] = {
    "single": {"BACKEND": "progrock.services.HTTPService", "OPTIONS": _SINGLY},
    "batch": {"BACKEND": "progrock.services.HTTPService", "OPTIONS": _TOGETHER},
    "single_by_hand": {"BACKEND": "tests.benchmarks.by_hand.Singly", "OPTIONS": {"base_url": _URL}},
    "batch_by_hand": {"BACKEND": "tests.benchmarks.by_hand.Together", "OPTIONS": {"base_url": _URL}},
}
PROGROCK = {
    **_PROGROCK,
    "SERVICES": {
        "remote": {
            **WAYS[os.environ.get("WAY", "single")],
            # The service asks to wait for longer, with jitter.
            "POLICY": {"interval": max(1, _EVERY * 9 // 10), "interval_most": max(1, _EVERY * 9 // 10)},
        }
    },
}
