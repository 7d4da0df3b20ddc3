"""Settings of a site with pages of its own."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.e2e.pages"
