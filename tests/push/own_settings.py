"""Settings of a project that tracks its own code and is told quickly that some of it was lost."""

from config.settings import *  # noqa: F403
from config.settings import PROGROCK as OTHERS

QUICK = {"interval_most": 500, "net": 500, "retry": 100, "retry_most": 500, "patience": 8_000}
SAID = {"OPTIONS": {"quiet": 3_000}, "POLICY": QUICK}
PROGROCK = {**OTHERS, "SERVICES": {"track": SAID, "group": SAID}}
