"""The rules of signed webhooks: what is signed is good, and anything else is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from progrock import signing

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(24, 64))).decode()
NAME, AT, BODY = "msg_1", 1_700_000_000, b'{"id": "r-1", "status": "done"}'
# Made with `openssl dgst -sha256 -mac HMAC`, not with the code that is tested.
SIGNATURE = "v1,5v7k+mf+zbCXbVARRRgpA1kPoLoOlT0AOVwRKAIu0dM="
HEADERS = {"webhook-id": NAME, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


def verdict(headers: dict[str, str] | None = None, body: bytes = BODY, now: int = AT, **more: str) -> str:
    keys = [signing.key(SECRET)]
    return signing.verify(keys, {**HEADERS, **(headers or {})}, body, now=now, tolerance=300, **more)


def test_a_webhook_is_signed_as_the_standard_has_it() -> None:
    assert signing.sign([signing.key(SECRET)], NAME, AT, BODY) == HEADERS
    assert verdict() == "good"


def test_with_two_keys_there_are_two_signatures_and_either_is_good() -> None:
    keys = [signing.key(OTHER), signing.key(SECRET)]
    headers = signing.sign(keys, NAME, AT, BODY)
    assert headers["webhook-signature"].count("v1,") == 2
    for each in keys:
        assert signing.verify([each], headers, BODY, now=AT, tolerance=300) == "good"
    assert verdict({"webhook-signature": f"v1a,AAAA v2,x {SIGNATURE}"}) == "good"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY + b" "),
        ({}, b'{"status":"done","id":"r-1"}'),
        ({"webhook-id": "msg_2"}, BODY),
        ({"webhook-id": ""}, BODY),
        ({"webhook-timestamp": str(AT + 1)}, BODY),
        ({"webhook-timestamp": ""}, BODY),
        ({"webhook-timestamp": "soon"}, BODY),
        ({"webhook-timestamp": "\u0661"}, BODY),
        ({"webhook-signature": ""}, BODY),
        ({"webhook-signature": SIGNATURE.removeprefix("v1,")}, BODY),
        ({"webhook-signature": SIGNATURE.replace("v1,", "v2,")}, BODY),
        ({"webhook-signature": SIGNATURE[:-1]}, BODY),
        ({"webhook-signature": SIGNATURE.swapcase()}, BODY),
        ({"webhook-signature": "v1,\udcff"}, BODY),
        ({"webhook-signature": "v1,x " * 10 + SIGNATURE}, BODY),
        ({"webhook-signature": SIGNATURE + " " * 3_000}, BODY),
    ],
)
def test_what_was_not_signed_is_forged(headers: dict[str, str], body: bytes) -> None:
    assert verdict(headers, body) == "forged"


@pytest.mark.parametrize(
    ("headers", "count"),
    [
        ({"webhook-signature": " ".join(["v1,x"] * 10)}, 2),
        ({"webhook-id": "", "webhook-signature": "v1,x"}, 0),
        ({"webhook-timestamp": "soon"}, 0),
        ({"webhook-signature": "v1,x " * 1_000}, 0),
    ],
)
def test_what_is_not_signed_costs_no_more_than_a_digest_for_each_key(
    headers: dict[str, str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    digest = hmac.digest

    def counted(key: bytes, message: bytes, how: Any) -> bytes:
        made.append(key)
        return digest(key, message, how)

    monkeypatch.setattr(hmac, "digest", counted)
    keys = [signing.key(SECRET), signing.key(OTHER)]
    assert signing.verify(keys, {**HEADERS, **headers}, BODY, now=AT, tolerance=300) == "forged"
    assert len(made) == count


def test_a_name_cannot_take_the_timestamps_place() -> None:
    """The same bytes are signed; only where they are cut is another's doing."""
    keys = [signing.key(SECRET)]
    signed = signing.sign(keys, "msg_1", AT, b"1700000300.{}")
    moved = {**signed, "webhook-id": f"msg_1.{AT}", "webhook-timestamp": "1700000300"}
    assert signing.verify(keys, moved, b"{}", now=1_700_000_300, tolerance=300) == "forged"
    with pytest.raises(ValueError, match="without a dot"):
        signing.sign(keys, "msg.1", AT, BODY)
    with pytest.raises(ValueError, match="a key"):
        signing.sign([], NAME, AT, BODY)


@pytest.mark.parametrize(("off", "expected"), [(300, "good"), (-300, "good"), (301, "stale"), (-301, "stale")])
def test_a_webhook_that_is_late_or_early_is_stale(off: int, expected: str) -> None:
    assert verdict(now=AT + off) == expected


def test_what_is_forged_is_not_called_stale() -> None:
    assert verdict({"webhook-id": "msg_2"}, now=AT + 9_999) == "forged"


def test_the_headers_may_have_other_names() -> None:
    headers = {name.replace("webhook", "svix"): value for name, value in HEADERS.items()}
    assert verdict({**headers, "webhook-signature": ""}, prefix="svix") == "good"


@pytest.mark.parametrize(
    "secret", ["", "whsec_", SECRET.removeprefix("whsec_"), "whsec_c2hvcnQ=", "whsec_!" + SECRET[7:], "whsec_\u00e9"]
)
def test_a_secret_that_is_none_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_") as error:
        signing.key(secret)
    assert len(secret) < 7 or secret not in str(error.value)


def test_a_secret_may_lack_its_padding() -> None:
    assert signing.key(OTHER.rstrip("=")) == signing.key(OTHER) == bytes(range(24, 64))


def test_the_digest_of_a_body_by_itself() -> None:
    made = hmac.new(b"key", BODY, hashlib.sha256)
    assert signing.digests([b"key"], BODY, "hex", "sha256=") == [f"sha256={made.hexdigest()}"]
    assert signing.digests([b"no", b"key"], BODY, "base64")[1] == base64.b64encode(made.digest()).decode()


def test_among_is_the_same_and_nothing_else() -> None:
    assert signing.among(["a", "b"], "b")
    assert not signing.among(["a", "b"], "")
    assert not signing.among([], "")
    assert not signing.among(["a"], "\udcff")
