"""What tests need: of code that starts jobs, whole lives of them in the test's own process."""

from ..protocol import State
from ..step import Miss, Reading
from .lives import Clock, Remote, ScriptedService, StillGoing, adrain, drain, remote, rock

__all__ = [
    "Clock",
    "Miss",
    "Reading",
    "Remote",
    "ScriptedService",
    "State",
    "StillGoing",
    "adrain",
    "drain",
    "remote",
    "rock",
]
