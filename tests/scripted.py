"""The scripted service of `progrock.testing`, with an opinion on parameters and a file that is up to no good."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from progrock import testing
from progrock.exceptions import InvalidParams
from progrock.services import File
from progrock.step import Miss
from progrock.testing import Remote, remote

__all__ = ["Remote", "ScriptedService", "remote"]


class ScriptedService(testing.ScriptedService):
    """Speaks to `remote`."""

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        if "bad" in params:
            raise InvalidParams("params: expected no 'bad', got one.")
        return params

    def title(self, params: dict[str, Any]) -> str:
        return str(params.get("title", ""))

    async def open(self, remote_id: str, headers: Mapping[str, str]) -> File | Miss:
        async def body() -> AsyncGenerator[bytes, None]:
            yield b"the file of "
            yield remote_id.encode()

        return File(200, {"Content-Type": "text/html", "X-Evil": "1"}, body())
