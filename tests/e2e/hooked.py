"""Settings of a site whose service calls back."""

import os

from config.settings import *  # noqa: F403
from config.settings import PROGROCK as _PROGROCK

NET = 20_000
"""Milliseconds; longer than any wait in the tests."""
_SYNTH = _PROGROCK["SERVICES"]["synth"]  # type: ignore[index]
_HOOK = {"form": "standard", "secrets": ["${SYNTH_HOOK_SECRET}"], "remote": "id", "net": NET}
PROGROCK = {
    **_PROGROCK,
    "SERVICES": {"synth": {**_SYNTH, "HOOK": _HOOK}},
    "PUBLIC_URL": os.environ.get("PUBLIC_URL", ""),
}
