"""Settings of the runnable project, read from the environment.

DEBUG=1, as `make rock` sets it, needs nothing else.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config.database import postgresql

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything that running it leaves behind.
VAR_DIR = Path(os.environ.get("VAR_DIR", BASE_DIR / "var"))
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = os.environ.get("DEBUG", "") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or ("not-secret-at-all" if DEBUG else "")
if not SECRET_KEY and "SECRET_KEY_FILE" in os.environ:
    SECRET_KEY = Path(os.environ["SECRET_KEY_FILE"]).read_text().strip()
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Expected SECRET_KEY or SECRET_KEY_FILE in the environment (or DEBUG=1, to try it out), got none."
    )
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "").split()

INSTALLED_APPS = [
    "progrock",
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "frontend" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASE_URL = os.environ.get("DATABASE_URL", "")
if DATABASE_URL:
    DATABASES = {"default": postgresql(DATABASE_URL)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": VAR_DIR / "progrock.sqlite3",
            "OPTIONS": {
                # A writer waits for its turn instead of failing in the middle of a transaction.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "frontend" / "static"]

# Clients and work have a layer each: an update that finds its channel full may be dropped, a lease is given back.
REDIS_URL = os.environ.get("REDIS_URL", "")
if REDIS_URL:
    # channels_redis waits for a message for 5 s at a time: who hears nothing for three times that is not connected.
    _HOST = {"address": REDIS_URL, "socket_timeout": 15}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [_HOST], "prefix": "progrock:clients:"},
        },
        "work": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # A message that is older than its leases is of no use to anybody.
            "CONFIG": {"hosts": [_HOST], "prefix": "progrock:work:", "expiry": 4},
        },
    }
else:
    CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}},
        "work": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    }
PROGROCK = {
    "SERVICES": {
        "synth": {
            "BACKEND": "config.synth.SynthService",
            "OPTIONS": {"base_url": os.environ.get("SYNTH_URL", "http://127.0.0.1:8900")},
            "POLICY": {"interval": 200, "interval_most": 200, "patience": 120_000, "deadline": 3_600_000},
        }
    },
    "STORE": REDIS_URL or "memory://",
    "METRICS_TOKEN": os.environ.get("METRICS_TOKEN", ""),
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "progrock": {"level": os.environ.get("LOG_LEVEL", "INFO")},
        # Daphne's log of every request and socket.
        "django.channels.server": {"level": "WARNING", "handlers": ["console"], "propagate": False},
    },
}
