"""The project's settings, with no jobs but entries that count their steps."""

from config.settings import *  # noqa: F403

ASGI_APPLICATION = "tests.benchmarks.delay_asgi.application"
