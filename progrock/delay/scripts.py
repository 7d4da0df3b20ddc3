"""Runs the scripts of `lua/`, and single commands, on the running event loop's connections."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from .connections import Client, Connect
from .exceptions import StoreAway
from .finish import heed
from .loops import PerLoop
from .wake import Ear

logger = logging.getLogger(__name__)

_KEYS = ("entries", "readers", "nudged", "dead", "reasons", "channels", "clock", "schedulers")
_LUA = Path(__file__).parent / "lua"
# The others are no RedisError: a cluster without a node, and redis-py 8.1 when many commands at once find one closed.
_AWAY = (RedisError, RedisClusterException, OSError, AttributeError)


class _Script:
    def __init__(self, path: Path) -> None:
        self.load(path.with_name("prelude.lua").read_text() + path.read_text())

    def load(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class _Link:
    """What belongs to one event loop."""

    def __init__(self, connect: Connect, tags: Sequence[str]) -> None:
        self._client = connect()
        self._ready = False
        self._turn = asyncio.Lock()
        self.ear = Ear(connect, tags)

    async def client(self) -> Client:
        """Return the client, ready for any number of callers at once: a cluster's must find its nodes first, once."""
        if not self._ready:
            async with self._turn:
                await heed(self._client.initialize())
                self._ready = True
        return self._client

    @property
    def spread(self) -> bool:
        """Whether it leads to the nodes of a cluster."""
        return isinstance(self._client, RedisCluster)

    async def aclose(self) -> None:
        await self.ear.aclose()
        await self._client.aclose()


class Scripts:
    """The scripts, as one would call functions of the store.

    :param connect: makes a client for the running event loop.
    :param tags: of the shards that are known from the start.
    :param folder: where the scripts are, and a prelude that stands before each.
    :param keys: the names of the keys that they are given, behind the tag.
    """

    def __init__(
        self, connect: Connect, tags: Sequence[str], *, folder: Path = _LUA, keys: Sequence[str] = _KEYS
    ) -> None:
        self._names = keys
        self._keys = {tag: self._named(tag) for tag in tags}
        self._scripts = {path.stem: _Script(path) for path in folder.glob("*.lua") if path.stem != "prelude"}
        self._link = PerLoop(lambda: _Link(connect, tags))

    async def run(self, name: str, tag: str, *arguments: Any) -> Any:
        """Run a script on a shard and return its reply.

        :raises StoreAway: if Redis does not answer, or cannot now; the script may have run or not.
        """
        script, keys = self._scripts[name], self._keys.get(tag) or self._named(tag)
        try:
            client = await self._link().client()
            try:
                return await heed(client.evalsha(script.sha, len(keys), *keys, tag, *arguments))
            except NoScriptError:
                return await heed(client.eval(script.text, len(keys), *keys, tag, *arguments))
        except _AWAY as error:
            spoiled = "WRONGTYPE" in str(error) and name != "mend" and "mend" in self._scripts
            # None are put aside if somebody else was faster.
            if spoiled and (aside := await self.run("mend", tag)):
                logger.error("Keys of the wrong type are put aside, as %s.", ", ".join(map(repr, aside)))
            raise StoreAway(f"{name}: {error or type(error).__name__}") from error

    async def command(self, *words: Any) -> Any:
        """Run one Redis command and return its reply.

        :raises StoreAway: if Redis does not answer, or cannot now.
        """
        return await self._command(*words)

    async def everywhere(self, word: str) -> dict[str, Any]:
        """Run one Redis command on each Redis that keeps entries.

        :returns: the replies, by the names of a cluster's nodes; of one alone, its reply by an empty name.
        :raises StoreAway: if one does not answer, or cannot now.
        """
        # A cluster sends what has no key to one of its nodes, if it is not told otherwise.
        if self._link().spread:
            return dict(await self._command(word, target_nodes=RedisCluster.PRIMARIES))
        return {"": await self._command(word)}

    async def _command(self, *words: Any, **options: Any) -> Any:
        try:
            client = await self._link().client()
            return await heed(client.execute_command(*words, **options))
        except _AWAY as error:
            raise StoreAway(f"{words[0]}: {error or type(error).__name__}") from error

    @property
    def ear(self) -> Ear:
        """The running loop's ear for wake-up calls."""
        return self._link().ear

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        link = self._link.pop()
        if link is not None:
            await link.aclose()

    def _named(self, tag: str) -> Sequence[str]:
        return [f"{tag}:{name}" for name in self._names]
