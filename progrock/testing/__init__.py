"""What tests need: of code that starts jobs, whole lives of them; of an adapter, the contract that it keeps."""

from ..protocol import State
from ..step import Miss, Reading
from .contract import AdapterContract
from .lives import Clock, Remote, ScriptedService, StillGoing, adrain, drain, remote, rock
from .trouble import TroubleContract

__all__ = [
    "AdapterContract",
    "Clock",
    "Miss",
    "Reading",
    "Remote",
    "ScriptedService",
    "State",
    "StillGoing",
    "TroubleContract",
    "adrain",
    "drain",
    "remote",
    "rock",
]
