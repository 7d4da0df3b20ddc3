"""The rules of signed webhooks: how one is signed, and whether one that came is what its sender signed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Literal

Verdict = Literal["good", "forged", "stale"]
Encoding = Literal["hex", "base64"]

ID_MOST = 255
_SECRET = "whsec_"  # noqa: S105 (what secrets begin with)
_KEY_LEAST = 24
_SIGNATURES_MOST = 10
"""Signatures of one webhook that are looked at: a sender that changes its secret sends two."""
_HEADER_MOST = 2_000


def key(secret: str) -> bytes:
    """Return the key that a secret of Standard Webhooks stands for.

    :param secret: `whsec_` and at least 24 bytes as base64.
    :raises ValueError: if it is none; the message does not tell it.
    """
    text = secret.removeprefix(_SECRET)
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not secret.startswith(_SECRET) or len(decoded) < _KEY_LEAST:
        raise ValueError(f"expected a secret as {_SECRET} and at least {_KEY_LEAST} bytes in base64, got another")
    return decoded


def sign(keys: Sequence[bytes], name: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a webhook, as Standard Webhooks has them.

    :param keys: one, or more while the receiver learns of a new one; each signs.
    :param name: the webhook's own id, the same each time that it is sent again.
    :param at: when it is sent, whole seconds since 1970.
    :param body: exactly the bytes that are sent.
    :raises ValueError: if there is no key, or the name cannot be one.
    """
    if not keys or not _is_name(name):
        raise ValueError(f"expected a key, and a name of 1 to {ID_MOST} printable characters without a dot")
    signatures = " ".join(_signature(each, name, str(at), body) for each in keys)
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signatures}


def verify(
    keys: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: int,
    tolerance: int,
    prefix: str = "webhook",
) -> Verdict:
    """Return whether a webhook is what somebody with one of the keys has signed, and signed lately.

    :param headers: those that it came with, whatever their case.
    :param body: exactly the bytes that came.
    :param now: whole seconds since 1970.
    :param tolerance: how many seconds its timestamp may be before or after that.
    :param prefix: what the names of the headers begin with.
    """
    name, sent, given = (headers.get(f"{prefix}-{each}", "") for each in ("id", "timestamp", "signature"))
    # A name with a dot could take what follows it for the timestamp.
    if not (_is_name(name) and _is_seconds(sent) and len(given) <= _HEADER_MOST):
        return "forged"
    # A body may be long, and whoever sends one need not have signed it: once for each key, and not for each signature.
    expected = [_signature(each, name, sent, body) for each in keys]
    # All of them, whatever the others say: how long it takes tells nothing.
    same = [_same(each, signature) for each in expected for signature in given.split(" ")[:_SIGNATURES_MOST]]
    if not any(same):
        return "forged"
    return "good" if abs(now - int(sent)) <= tolerance else "stale"


def digests(keys: Sequence[bytes], body: bytes, encoding: Encoding, prefix: str = "") -> list[str]:
    """Return what a header may say that carries the HMAC-SHA256 of a body and nothing else.

    :param prefix: what stands before it, such as `sha256=`.
    """
    made = [hmac.digest(each, body, hashlib.sha256) for each in keys]
    return [prefix + (each.hex() if encoding == "hex" else base64.b64encode(each).decode()) for each in made]


def among(expected: Sequence[str], given: str) -> bool:
    """Return whether what was given is one of what was expected, in a time that does not tell how nearly."""
    same = [_same(each, given) for each in expected]
    return any(same)


def _signature(secret: bytes, name: str, sent: str, body: bytes) -> str:
    signed = f"{name}.{sent}.".encode(errors="replace") + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))


def _is_name(name: str) -> bool:
    return 0 < len(name) <= ID_MOST and name.isascii() and name.isprintable() and not set(name) & {".", " "}


def _is_seconds(text: str) -> bool:
    return 0 < len(text) <= 12 and text.isascii() and text.isdigit()
