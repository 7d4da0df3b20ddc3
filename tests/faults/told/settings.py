"""Settings of the kill tests of the outbox: jobs of a scripted service, whose ends are told to the test."""

import os
from typing import Any

from config.database import postgresql
from tests.faults.project.settings import *  # noqa: F403
from tests.faults.project.settings import CHANNEL_LAYERS, DATABASES, INSTALLED_APPS, REDIS_URL

INSTALLED_APPS = ["tests.faults.told.apps.ToldConfig", *INSTALLED_APPS[1:]]
DATABASES["default"]["OPTIONS"] = {  # type: ignore[assignment]
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;",
}
if url := os.environ.get("DATABASE_URL"):
    DATABASES = {"default": postgresql(url)}
ASGI_APPLICATION = "tests.faults.told.asgi.application"
CHANNEL_LAYERS["work"]["BACKEND"] = "channels_redis.core.RedisChannelLayer"
_PROGROCK: Any = {
    "STORE": REDIS_URL,
    "SERVICES": {
        "scripted": {
            "BACKEND": "progrock.testing.ScriptedService",
            "POLICY": {"interval": 20},
            "TELL": [{"webhook": os.environ["TELL_URL"], "secrets": ["${TELL_SECRET}"]}],
        }
    },
}
PROGROCK = _PROGROCK
