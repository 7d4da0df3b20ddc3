"""The project's settings, with an application that counts how late its steps are."""

from config.settings import *  # noqa: F403

ASGI_APPLICATION = "tests.benchmarks.asgi.application"
