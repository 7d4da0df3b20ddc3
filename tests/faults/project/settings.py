"""Settings of the fault tests: the delay scheduler on a Redis, and layers and a store that can be made to fail."""

import os

REDIS_URL = os.environ["REDIS_URL"]
HAND_OFF = int(os.environ["HAND_OFF"])

SECRET_KEY = "for the tests"
INSTALLED_APPS = [
    "tests.faults.project.apps.FaultsConfig",
    "progrock",
    "django.contrib.auth",
    "django.contrib.contenttypes",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
ASGI_APPLICATION = "tests.faults.project.asgi.application"
_HOST = {"address": REDIS_URL, "socket_timeout": 15}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [_HOST]}},
    "work": {
        "BACKEND": "tests.faults.project.layer.FaultyLayer",
        "CONFIG": {
            "hosts": [_HOST],
            "prefix": "work:",
            "expiry": max(1, min(4, HAND_OFF // 1000)),
            "capacity": int(os.environ.get("CAPACITY", "100")),
        },
    },
}
PROGROCK = {
    "STORE": REDIS_URL,
    # The checks want one; nobody here asks it.
    "SERVICES": {"synth": {"BACKEND": "config.synth.SynthService", "OPTIONS": {"base_url": "http://127.0.0.1:9"}}},
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"progrock": {"level": "INFO"}},
}
