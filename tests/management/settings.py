"""Settings of a project with a service beside the synth that is not there."""

from config.settings import *  # noqa: F403
from config.settings import PROGROCK as OTHERS

GONE = {
    "BACKEND": "config.synth.SynthService",
    "OPTIONS": {"base_url": "http://127.0.0.1:1"},
    "POLICY": {"interval": 50, "retry": 50, "retry_most": 100, "patience": 300},
}
PROGROCK = {**OTHERS, "SERVICES": {**OTHERS["SERVICES"], "gone": GONE}}  # type: ignore[dict-item]
