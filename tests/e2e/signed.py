"""The site, with a web server that does not look by itself who is still signed in within a test's time."""

from config.asgi import application
from progrock import vigil

__all__ = ["application"]

vigil.EVERY = 60.0
