"""Who may be named to be told, by the settings and by a start."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from progrock.conf import parse
from progrock.tell import Addressee, shown
from progrock.tell import parse as parse_tell

SECRET = "whsec_" + "A" * 40
HOOK = {"webhook": "https://hooks.example.com/jobs?token=${TELL_TOKEN}", "secrets": ["${TELL_SECRET}"]}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELL_TOKEN", "sesame")
    monkeypatch.setenv("TELL_SECRET", SECRET)


def declared(*tell: Any) -> tuple[Addressee, ...]:
    return parse({"SERVICES": {"s": {"BACKEND": "b", "TELL": list(tell)}}}).services["s"].tell


def test_the_settings_may_name_all_kinds() -> None:
    tell = declared(HOOK, {"email": "owner"}, {"email": "ops@example.com", "on": ["failed"]}, {"call": "shop.ended"})
    assert [(each.kind, each.target) for each in tell] == [
        ("webhook", HOOK["webhook"]),
        ("email", "owner"),
        ("email", "ops@example.com"),
        ("call", "shop.ended"),
    ]
    assert tell[2].on == ("failed",)
    # What the environment has is nowhere to be seen.
    assert "sesame" not in repr(tell)
    assert SECRET not in repr(tell)


@pytest.mark.parametrize(
    ("addressee", "says"),
    [
        ({}, "one of webhook, email and call"),
        ({"email": "owner", "call": "a.b"}, "one of webhook, email and call"),
        ({"sms": "123"}, "unknown key 'sms'"),
        ({"email": "nobody"}, "email: expected an address or 'owner', got 'nobody'"),
        ({"email": "owner", "on": []}, "on: expected one end or more"),
        ({"email": "owner", "on": ["running"]}, "'running'"),
        ({"email": "owner", "secrets": [SECRET]}, "secrets with a webhook only"),
        ({"call": "a" * 501}, "at most 500"),
        ({"call": "a\nb"}, "printable"),
        (
            {"webhook": "https://h/x"},
            r'SERVICES\[.s.\]: TELL\[0\]: expected secrets with a webhook, such as \["\${TELL_SECRET}"\]',
        ),
        ({"webhook": "https://h/x", "secrets": ["password1"]}, r"TELL\[0\]: expected a secret as whsec_"),
        ({"webhook": "https://h/x", "secrets": ["${TELL_MISSING}"]}, r"\${TELL_MISSING} to be set"),
        ({"webhook": "https://h/${TELL_MISSING}", "secrets": [SECRET]}, r"\${TELL_MISSING} to be set"),
        ({"webhook": "ftp://h/x", "secrets": [SECRET]}, "expected https://"),
        ({"webhook": "https:///x", "secrets": [SECRET]}, "expected https://"),
        ({"webhook": "https://h:99999/x", "secrets": [SECRET]}, "expected https://"),
        ({"webhook": "https://h/x#y", "secrets": [SECRET]}, "expected https://"),
        ({"webhook": "https://me:pw@h/x", "secrets": [SECRET]}, "without user and password"),
        ({"webhook": "https://h\\@evil/x", "secrets": [SECRET]}, "without user and password|host name"),
        ({"webhook": "https://h/a b", "secrets": [SECRET]}, "quoted"),
        ({"webhook": "https://h/\u00e4", "secrets": [SECRET]}, "quoted"),
        ({"webhook": "https://127.0.0.%31/", "secrets": [SECRET]}, "host name or an address"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(addressee: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says) as refusal:
        declared(addressee)
    assert "password1" not in str(refusal.value)
    assert "pw" not in str(refusal.value)


@pytest.mark.parametrize(
    ("addressee", "says"),
    [
        ({"webhook": "http://example.com/"}, "expected an https:// URL"),
        ({"webhook": "https://127.0.0.1/"}, "expected a public address"),
        ({"webhook": "https://[::1]/"}, "expected a public address"),
        ({"webhook": "https://169.254.169.254/latest"}, "expected a public address"),
        ({"webhook": "http://allowed.example:81/"}, "expected an https:// URL"),
        ({"webhook": HOOK["webhook"]}, "without braces"),
        ({"webhook": "https://h/", "secrets": [SECRET]}, "secrets in the settings only"),
        ({"call": "os.abort"}, "call in the settings only"),
        ("https://example.com", "Expected `object`"),
    ],
)
def test_a_start_may_name_what_is_public_and_no_code(addressee: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_tell([addressee], ["allowed.example:80"])


def test_a_start_may_name_what_the_settings_allow() -> None:
    named = [{"webhook": "http://allowed.example/"}, {"webhook": "https://10.0.0.1:8443/"}, {"email": "owner"}]
    assert len(parse_tell(named, ["allowed.example:80", "10.0.0.1"])) == 3


def test_a_start_may_not_name_many() -> None:
    with pytest.raises(ValueError, match="at most 5 addressees, got 6"):
        parse_tell([{"email": f"a{n}@example.com"} for n in range(6)], [])


def test_of_a_url_is_shown_what_is_no_token() -> None:
    assert shown("webhook", "https://h.example:1/bot1234:sesame/b?token=sesame") == "h.example:1"
    assert shown("webhook", "https://me:pw@h.example/a") == "h.example"
    assert shown("email", "owner") == "owner"
