"""How services call back, as the settings have it: what is taken, and what is refused at the start."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.test.client import RequestFactory

from progrock import registry, signing
from progrock.hooks import Call, Hook
from progrock.step import Policy

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
AT = 1_700_000_000
BODY = b'{"id": "r-1"}'


def settings(**hook: Any) -> Any:
    service = {"BACKEND": "tests.scripted.ScriptedService", "HOOK": hook}
    return override_settings(PROGROCK={"SERVICES": {"a b": service}, "PUBLIC_URL": "https://rock.example/prog/"})


def made(**hook: Any) -> Hook:
    with settings(**hook):
        return registry.hooks()["a b"]


def call(headers: dict[str, str] | None = None, body: bytes = BODY, url: str = "/") -> Call:
    request = RequestFactory().post(url, body, content_type="application/json", headers=headers or {})
    return Call(request.headers, request.GET.dict(), request.read())


def test_the_standard_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    hook = made(form="standard", secrets=["${HOOK_SECRET}"])
    signed = call(signing.sign([signing.key(SECRET)], "msg_1", AT, BODY))
    assert hook.verify(signed, AT + 300) == "good"
    assert hook.verify(signed, AT + 301) == "stale"
    assert hook.verify(call(), AT) == "forged"
    assert hook.name_of(signed) == "msg_1"
    quick = made(form="standard", secrets=[SECRET], tolerance=1_000, prefix="svix")
    named = {name.replace("Webhook", "Svix"): each for name, each in signed.headers.items() if "Webhook" in name}
    assert quick.verify(call(named), AT + 1) == "good"
    assert quick.verify(call(named), AT + 2) == "stale"


def test_the_hmac_form() -> None:
    hook = made(form="hmac", secrets=["new", "old"], header="X-Signature-256", prefix="sha256=")
    right = hmac.new(b"old", BODY, hashlib.sha256)
    assert hook.verify(call({"X-Signature-256": f"sha256={right.hexdigest()}"}), 0) == "good"
    assert hook.verify(call({"X-Signature-256": right.hexdigest()}), 0) == "forged"
    assert hook.verify(call({"X-Signature-256": f"sha256={right.hexdigest()}"}, b"{}"), 0) == "forged"
    assert hook.verify(call(), 0) == "forged"
    plain = made(form="hmac", secrets=["old"], header="X-Signature", encoding="base64")
    assert plain.verify(call({"X-Signature": base64.b64encode(right.digest()).decode()}), 0) == "good"
    assert plain.name_of(call()) == ""


def test_the_shared_form() -> None:
    hook = made(form="shared", secrets=["Bearer one", "Bearer two"], header="Authorization")
    assert hook.verify(call({"Authorization": "Bearer two"}), 0) == "good"
    wrongs: list[dict[str, str]] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer on"},
        {"Authorization": "bearer one"},
    ]
    for wrong in wrongs:
        assert hook.verify(call(wrong), 0) == "forged"
    in_url = made(form="shared", secrets=["a&b"], query="token")
    assert in_url.verify(call(url="/?token=a%26b"), 0) == "good"
    assert in_url.verify(call(url="/?token=a"), 0) == "forged"
    assert in_url.verify(call(), 0) == "forged"


@pytest.mark.parametrize(
    ("hook", "body", "jobs", "remotes"),
    [
        ({}, b"not JSON", [], []),
        ({"remote": "id"}, b'{"id": "r-1"}', [], ["r-1"]),
        ({"remote": "id"}, b'{"id": 7}', [], ["7"]),
        ({"remote": "id"}, b'{"id": true}', [], []),
        ({"remote": "id"}, b"[]", [], []),
        ({"remote": "events[].job.id"}, b'{"events": [{"job": {"id": "a"}}, {}, {"job": {"id": 2}}]}', [], ["a", "2"]),
        ({"job": "key", "remote": "id"}, b'{"id": {"x": 1}, "key": "k"}', ["k"], []),
        ({"remote": "join('', ['/jobs/', id])"}, b'{"id": "r-1"}', [], ["/jobs/r-1"]),
    ],
)
def test_the_jobs_that_a_body_names(hook: dict[str, str], body: bytes, jobs: list[str], remotes: list[str]) -> None:
    named = made(form="shared", secrets=["x"], header="X", **hook).named(body)
    assert (list(named.jobs), list(named.remotes)) == (jobs, remotes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 50_000,
        b'{"id": NaN}',
        b'{"ids": [' + b"1," * 500 + b"1]}",
        b'{"text": 1}',
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    hook = made(form="shared", secrets=["x"], header="X", remote="ids || join('', text)")
    with pytest.raises(ValueError, match="Expected"):
        hook.named(body)


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ({}, "form"),
        ({"form": "signed"}, "signed"),
        ({"form": "standard"}, "secrets"),
        ({"form": "standard", "secrets": []}, "secrets"),
        ({"form": "standard", "secrets": ["hunter2"]}, r'"secrets"\]: expected a secret as whsec_'),
        ({"form": "standard", "secrets": ["${NO_SUCH}"]}, r'"secrets"\]: expected \$\{NO_SUCH\} to be set'),
        ({"form": "standard", "secrets": [SECRET], "header": "X"}, "header"),
        ({"form": "standard", "secrets": [SECRET], "net": 0}, "net"),
        (
            {"form": "standard", "secrets": [SECRET], "remote": "a["},
            r"HOOK\[\"remote\"\]: expected a JMESPath expression, got 'a\['",
        ),
        (
            {"form": "standard", "secrets": [SECRET], "job": "no_such(a)"},
            r'HOOK\["job"\]: expected a function of JMESPath, got no_such\(\)',
        ),
        ({"form": "hmac", "secrets": ["x"]}, "header"),
        ({"form": "hmac", "secrets": ["x"], "header": "X", "encoding": "rot13"}, "rot13"),
        ({"form": "shared", "secrets": ["hunter2"]}, "either `header` or `query`"),
        ({"form": "shared", "secrets": ["hunter2"], "header": "X", "query": "x"}, "either `header` or `query`"),
        ({"form": "shared", "secrets": [""], "header": "X"}, "secrets"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start_and_no_secret_told(hook: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says) as error:
        made(**hook)
    assert "hunter2" not in str(error.value)
    assert SECRET not in str(error.value)


def test_a_service_that_calls_back_needs_a_name_for_its_url() -> None:
    hook = {"form": "shared", "secrets": ["x"], "header": "X"}
    for name in ("a/b", ".", ".."):
        service = {"BACKEND": "tests.scripted.ScriptedService", "HOOK": hook}
        wrong = override_settings(PROGROCK={"SERVICES": {name: service}})
        with wrong, pytest.raises(ImproperlyConfigured, match="part of a URL"):
            registry.hooks()


def test_no_secret_is_in_what_is_logged() -> None:
    with settings(form="shared", secrets=["hunter2"], header="X"):
        assert "Shared(...)" in repr(registry.conf())
        assert "hunter2" not in repr(registry.conf())
        assert "hunter2" not in repr(call({"X": "hunter2"}))


def test_the_url_to_call() -> None:
    with settings(form="shared", secrets=["a&b", "old"], query="token"):
        assert registry.hook_url("a b", "1-2") == "https://rock.example/prog/hooks/a%20b/1-2/?token=a%26b"
        assert registry.hook_url("other", "1-2") == ""
    with settings(form="shared", secrets=["a&b"], header="X"):
        assert registry.hook_url("a b", "1-2") == "https://rock.example/prog/hooks/a%20b/1-2/"
    service = {"BACKEND": "tests.scripted.ScriptedService", "HOOK": {"form": "shared", "secrets": ["x"], "header": "X"}}
    with override_settings(PROGROCK={"SERVICES": {"a": service}}):
        assert registry.hook_url("a", "1-2") == ""


@pytest.mark.parametrize(
    "url", ["rock.example/prog", "ftp://x/", "https://u:pass@x/", "https://x/?a=pass", "https://x y/"]
)
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    wrong = override_settings(PROGROCK={"PUBLIC_URL": url})
    with wrong, pytest.raises(ImproperlyConfigured, match="PUBLIC_URL must be") as error:
        registry.conf()
    assert "pass" not in str(error.value)


def test_the_net_is_part_of_the_policy() -> None:
    with settings(form="shared", secrets=["x"], header="X"):
        assert registry.policy("a b").net == 30_000
    with settings(form="shared", secrets=["x"], header="X", net=5_000):
        assert registry.policy("a b").net == 5_000
    assert Policy().net is None
