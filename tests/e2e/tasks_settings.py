"""Settings of a project whose jobs are tasks of Django's framework, kept in its database."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
PROGROCK = {
    "SERVICES": {
        name: {
            "BACKEND": "progrock.services.tasks.TasksService",
            "OPTIONS": {"task": f"tests.services.pressing.{name}"},
            "POLICY": {"interval": 100},
        }
        for name in ("press", "wait_for", "scratch")
    },
}
