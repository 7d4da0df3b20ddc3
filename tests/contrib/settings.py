"""Settings of a site whose own code does long work: tasks of Celery's, and of Django's framework."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, MIDDLEWARE, PROGROCK, REDIS_URL

# Of celery-progress, its files for browsers alone are used.
INSTALLED_APPS = [*INSTALLED_APPS, "celery_progress", "django_tasks", "django_tasks_db", "tests.contrib"]
MIDDLEWARE = [
    # The pages of others have scripts in them.
    *(each for each in MIDDLEWARE if each != "config.middleware.content_security_policy"),
    "progrock.contrib.owned.owned_by_request",
]
ROOT_URLCONF = "tests.contrib.urls"
ASGI_APPLICATION = "tests.contrib.asgi.application"
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
CELERY_REDIS = REDIS_URL or "redis://127.0.0.1:1/0"
# Who falls silent is given up sooner than people would like.
PROGROCK = {**PROGROCK, "SERVICES": {"track": {"POLICY": {"net": 500, "patience": 2_000}}}}
