"""Settings of the tests that run in one process: the project's, with a database of their own."""

import os

os.environ["DEBUG"] = "1"

from config.settings import *  # noqa: F403

DEBUG = False
SECRET_KEY = "for the tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
