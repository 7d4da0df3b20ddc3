"""A remote service that costs little, over HTTP: its jobs go on until it is told to finish them.

`python -m tests.benchmarks.farm PORT`; it says `ready` once it listens.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from email.utils import formatdate
from typing import Any

import msgspec

_EVERY = int(os.environ.get("EVERY_MS", "1000"))
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_HEAD = b"HTTP/1.1 %d %b\r\nDate: %b\r\nServer: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Jobs:
    """All of its jobs, and how often it was asked for one of them."""

    def __init__(self) -> None:
        self._looks: dict[str, int] = {}
        self._polls = 0
        self._finished = False

    def answer(self, call: str, body: bytes) -> object:
        """Return what is answered to a call, None if there is no such thing.

        :param call: method and path.
        """
        method, _, path = call.partition(" ")
        if method == "GET" and path.removeprefix("/jobs/") in self._looks:
            return self._look(path.removeprefix("/jobs/"))
        if call == "POST /status":
            return {"jobs": [self._look(job) for job in _decode(body)["ids"] if job in self._looks]}
        if call == "POST /jobs":
            return self._start(_decode(body)["job"])
        if call == "POST /finish":
            self._finished = True
        if call in ("POST /finish", "GET /seen"):
            return len(self._looks), self._polls
        return None

    def _start(self, job: str) -> dict[str, Any]:
        name = f"r-{job}"
        self._looks.setdefault(name, 0)
        return self._said(name)

    def _look(self, job: str) -> dict[str, Any]:
        self._looks[job] += 1
        self._polls += 1
        return self._said(job)

    def _said(self, job: str) -> dict[str, Any]:
        looks = self._looks[job]
        return {
            "id": job,
            "status": "finished" if self._finished else "running",
            "progress": {"done": min(looks, 999), "total": 1000},
            "message": f"Frame {looks} of 1000",
            "created": "2026-11-21T09:00:00Z",
            "links": [{"rel": "self", "href": f"/jobs/{job}"}],
            # So that they do not all come at once, as bench-jobs has it.
            "wait": round(_EVERY * random.uniform(0.9, 1.1) / 1000, 3),
        }


class Connection(asyncio.Protocol):
    """One connection: a call after the other, as HTTP/1.1 has it, and no more of HTTP than is needed here."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each call that is there as a whole."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            lines = self._got[:end].split(b"\r\n")
            headers = dict(line.lower().split(b":", 1) for line in lines[1:])
            whole = end + 4 + int(headers.get(b"content-length", 0))
            if len(self._got) < whole:
                return
            body, self._got = self._got[end + 4 : whole], self._got[whole:]
            said = self._jobs.answer(lines[0].rpartition(b" ")[0].decode(), body)
            status, word = (200, b"OK") if said is not None else (404, b"Not Found")
            text = _encode(said)
            self._transport.write(_HEAD % (status, word, formatdate(usegmt=True).encode(), len(text)) + text)


async def _serve(port: int) -> None:
    jobs = Jobs()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(jobs), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
