"""The synth by each way to speak to it: an adapter of its own, and two declarations."""

from __future__ import annotations

from typing import Any

_DECLARED: dict[str, Any] = {
    "start": {"call": "POST /v1/renders", "json": "params", "key": "Idempotency-Key"},
    "status": {"call": "GET /v1/renders/{remote}"},
    "cancel": {"call": "DELETE /v1/renders/{remote}"},
    "find": {"call": "GET /v1/renders?key={job}", "at": "renders[0]"},
    "file": {"call": "GET /v1/renders/{remote}/file"},
    "reading": {
        "remote": "id",
        "state": "state",
        "done": "done",
        "total": "total",
        "message": "message",
        "title": "title",
        "error": "error.message || error",
        "file": "file && 'audio/wav'",
    },
    "states": {"queued": "pending"},
}
_BATCH = {"call": "POST /v1/renders/status", "json": "{ids: remotes}", "each": "renders", "size": 250}

OWN = "config.synth.SynthService"
HTTP = "progrock.services.HTTPService"
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "own": (OWN, {}),
    "single": (HTTP, _DECLARED),
    "batch": (HTTP, {**_DECLARED, "batch": _BATCH}),
}
"""Dotted path and options by name; `base_url` is to be added."""
