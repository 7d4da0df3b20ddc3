"""Settings of the runnable project, read from the environment.

DEBUG=1, as `make rock` sets it, needs nothing else. Without it, whatever is not set is as a site on the net needs it.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config.database import postgresql
from config.environment import flag, secret, whole, wholes, words
from config.proxies import networks

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything that running it leaves behind.
VAR_DIR = Path(os.environ.get("VAR_DIR", BASE_DIR / "var"))
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = os.environ.get("DEBUG", "") == "1"
SECRET_KEY = secret("SECRET_KEY") or ("not-secret-at-all" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Expected SECRET_KEY or SECRET_KEY_FILE in the environment (or DEBUG=1, to try it out), got none."
    )
# What was signed by the keys of before still holds: see docs/howto/rotate-secrets.md
SECRET_KEY_FALLBACKS = secret("SECRET_KEY_FALLBACKS").split()
ALLOWED_HOSTS = words("ALLOWED_HOSTS")

# Passwords and cookies go over TLS, or not at all, unless it is said that there is none.
HTTPS = flag("HTTPS", not DEBUG)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# Whoever asks these is beside us, before the proxy that has the certificate, and brings no cookie.
SECURE_REDIRECT_EXEMPT = ["^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = whole("HSTS_SECONDS", 3600) if HTTPS else 0
# Whether all that is below our name speaks TLS, and always will, we cannot know.
SECURE_HSTS_INCLUDE_SUBDOMAINS = flag("HSTS_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = flag("HSTS_PRELOAD", False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# See config/asgi.py: from anybody else, such a header does not get so far.
TRUSTED_PROXIES = words("TRUSTED_PROXIES")
networks(TRUSTED_PROXIES)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")

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
DATABASE_URL = secret("DATABASE_URL")
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
REDIS_URL = secret("REDIS_URL")
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
# Milliseconds from one look at a track to the next: a demo is to look smooth, thousands of tracks are to be affordable.
_INTERVAL = whole("SYNTH_INTERVAL", 200)
PROGROCK = {
    "SERVICES": {
        "synth": {
            "BACKEND": "config.synth.SynthService",
            "OPTIONS": {"base_url": os.environ.get("SYNTH_URL", "http://127.0.0.1:8900")},
            "POLICY": {
                "interval": _INTERVAL,
                "interval_most": _INTERVAL,
                "patience": 120_000,
                "deadline": 3_600_000,
            },
        }
    },
    "STORE": REDIS_URL or "memory://",
    "METRICS_TOKEN": secret("METRICS_TOKEN"),
    **wholes(
        "MAX_UNFINISHED",
        "MAX_STARTS_PER_MINUTE",
        "MAX_SOCKETS",
        "MAX_STREAMS",
        "MAX_FRAMES_PER_SECOND",
        "MAX_FRAME_BYTES",
        "MAX_WATCHES",
        "MAX_WATCHERS",
        "MAX_PARAMS_BYTES",
        "MAX_RESULT_BYTES",
        "JOURNAL_MOST",
        "JOURNAL_KEEP",
        "KEEP_DAYS",
    ),
}

LOG_FORMAT = os.environ.get("LOG_FORMAT") or "line"
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured(f"Expected LOG_FORMAT in the environment as line or json, got {LOG_FORMAT!a:.80}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"about": {"()": "progrock.logs.About"}},
    "formatters": {"line": {"()": "progrock.logs.Line"}, "json": {"()": "progrock.logs.Json"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["about"]}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "progrock": {"level": os.environ.get("LOG_LEVEL", "INFO")},
        # Daphne's log of every request and socket.
        "django.channels.server": {"level": "WARNING", "handlers": ["console"], "propagate": False},
    },
}
