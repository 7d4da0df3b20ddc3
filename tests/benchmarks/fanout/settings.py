"""The project's settings, with a plain consumer beside the receiver to compare it with."""

import os

from config.settings import *  # noqa: F403
from config.settings import CHANNEL_LAYERS, REDIS_URL

# With it, Django keeps the text of each query.
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ASGI_APPLICATION = "tests.benchmarks.fanout.asgi.application"
if os.environ.get("CORE_LAYER") == "1":
    CHANNEL_LAYERS = {
        **CHANNEL_LAYERS,
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 15}], "prefix": "progrock:clients:"},
        },
    }
