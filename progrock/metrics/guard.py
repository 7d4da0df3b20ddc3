"""Who may read the metrics by a token: whoever shows the one of the settings; nobody, if there is none."""

from __future__ import annotations

from hmac import compare_digest

from .. import registry


def shows_token(authorization: str) -> bool:
    """Return whether a request's `Authorization` shows the token."""
    token = registry.conf().metrics_token
    kind, _, shown = authorization.partition(" ")
    return bool(token) and kind.lower() == "bearer" and compare_digest(shown.strip().encode(), token.encode())
