"""Jobs in the admin: who may do what with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.utils import timezone

from progrock import jobs, registry
from progrock.models import Delivery, Job
from progrock.protocol import State

pytestmark = pytest.mark.django_db(transaction=True)
JOBS = "/admin/progrock/job/"


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK={"SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}}):
        yield


def client(*permissions: str) -> Client:
    user = User.objects.create_user("op", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, action: str, *keys: str) -> str:
    answer = client.post(JOBS, {"action": action, "_selected_action": keys}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_operator_cancels_and_tries_again() -> None:
    operator = client("view_job", "change_job")
    running = jobs.start(owner="somebody")
    over = jobs.start(owner="somebody")
    async_to_sync(registry.store().remove)([over.job])
    now = timezone.now()
    Job.objects.filter(pk=over.job).update(state=State.FAILED, error="remote", started=now, finished=now)
    assert "Cancelled or over: 1." in act(operator, "cancel", running.job)
    assert Job.objects.get(pk=running.job).state == State.CANCELLING
    page = act(operator, "retry", running.job, over.job)
    assert "Expected a job that is over" in page
    assert "Tried again: 1." in page
    again = Job.objects.get(retry_of__pk=over.job)
    assert (again.owner, again.attempt) == ("somebody", 2)


def test_who_may_only_look_may_only_look() -> None:
    viewer = client("view_job")
    job = jobs.start(owner="somebody").job
    assert "Cancel selected jobs" not in viewer.get(JOBS).content.decode()
    act(viewer, "cancel", job)
    assert Job.objects.get(pk=job).state == State.PENDING


def test_rows_are_not_changed_by_hand() -> None:
    operator = client("view_job", "change_job", "delete_job", "add_job")
    job = jobs.start(owner="somebody").job
    assert operator.get(f"{JOBS}add/").status_code == 403
    assert operator.post(f"{JOBS}{job}/delete/", {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in operator.get(f"{JOBS}{job}/change/").content.decode()


DELIVERIES = "/admin/progrock/delivery/"


def a_delivery(state: str, **fields: object) -> Delivery:
    now = timezone.now()
    over = {"state": State.SUCCEEDED, "started": now, "finished": now, "created": now, "changed": now}
    job = Job.objects.create(service="scripted", owner="somebody", tell=[{"webhook": "https://x/?a=sesame"}], **over)
    target = "https://hooks.example/jobs?token=sesame"
    return Delivery.objects.create(
        job=job, kind="webhook", target=target, state=state, created=now, until=now, **fields
    )


def test_what_failed_is_sent_again_under_its_own_id() -> None:
    failed, waiting = a_delivery("failed", error="It answered 500.", tries=7), a_delivery("pending")
    operator = client("view_delivery", "change_delivery")
    answer = operator.post(
        DELIVERIES, {"action": "send_again", "_selected_action": [failed.pk, waiting.pk]}, follow=True
    )
    assert "Sent again: 2." in answer.content.decode()
    failed.refresh_from_db()
    assert (failed.state, failed.tries, failed.sent) == ("pending", 0, None)
    assert failed.until > timezone.now() + timedelta(hours=23)
    there = async_to_sync(registry.store().peek)([str(failed.pk), str(waiting.pk)])
    assert all(there)


def test_tokens_are_not_shown() -> None:
    row = a_delivery("failed", error="It answered 500.")
    viewer = client("view_delivery", "view_job")
    for url in (DELIVERIES, f"{DELIVERIES}{row.pk}/change/", f"{JOBS}{row.job_id}/change/"):
        page = viewer.get(url, follow=True).content.decode()
        assert "sesame" not in page
        assert str(row.job_id) in page or "hooks.example" in page
    assert "hooks.example" in viewer.get(DELIVERIES).content.decode()
    assert "Send selected" not in viewer.get(DELIVERIES).content.decode()


@pytest.mark.parametrize(
    ("url", "by"),
    [
        (JOBS, "tell__0__webhook__startswith"),
        (JOBS, "tell__icontains"),
        (JOBS, "tell"),
        (JOBS, "deliveries__target__startswith"),
        (JOBS, "parent__tell__icontains"),
        (JOBS, "retried_as__tell__icontains"),
        (DELIVERIES, "target__startswith"),
        (DELIVERIES, "target"),
        (DELIVERIES, "job__tell__icontains"),
    ],
)
def test_nor_are_they_found_out_by_filtering(url: str, by: str) -> None:
    a_delivery("pending")
    viewer = client("view_delivery", "view_job")
    for value in ("https://", "nowhere"):
        assert viewer.get(url, {by: value}).status_code == 400
    # What is shown is filtered by as ever.
    shown = "tries" if url == DELIVERIES else "params__title"
    assert viewer.get(url, {shown: "0"}).status_code == 200


def test_nor_by_putting_them_in_order() -> None:
    one, other = a_delivery("pending"), a_delivery("pending")
    viewer = client("view_delivery", "view_job")
    Delivery.objects.filter(pk=one.pk).update(target="https://hooks.example/?a=1")
    for way in ("", "-"):
        for column in range(9):
            by = {"o": f"{way}{column}"}
            order = [each.pk for each in viewer.get(DELIVERIES, by).context["cl"].queryset]
            Delivery.objects.filter(pk=other.pk).update(target="https://hooks.example/?a=0")
            assert order == [each.pk for each in viewer.get(DELIVERIES, by).context["cl"].queryset]
            Delivery.objects.filter(pk=other.pk).update(target="https://hooks.example/?a=2")
