"""The real core layer, which drops and doubles messages when told to, and where its process can be made to die."""

from __future__ import annotations

import os
from typing import Any

from channels_redis.core import RedisChannelLayer

from tests.faults.chains import CHANNEL
from tests.faults.events import event, tell
from tests.faults.project.strike import strike


class FaultyLayer(RedisChannelLayer):
    """A layer that drops every `DROP`th message and doubles every `DOUBLE`th, the copies to whoever takes them."""

    _sent = 0
    _drop = int(os.environ.get("DROP", "0"))
    _double = int(os.environ.get("DOUBLE", "0"))

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if not channel.startswith(f"{CHANNEL}."):
            await super().send(channel, message)
            return
        self._sent += 1
        await strike("before", "send")
        if self._drop and self._sent % self._drop == self._drop // 2:
            tell(event("dropped"))
            return
        await super().send(channel, message)
        if self._double and self._sent % self._double == 0:
            tell(event("doubled"))
            # In turn to the worker that has it already, and to any.
            await super().send(channel if self._sent % (2 * self._double) else CHANNEL, message)
        await strike("after", "send")
