"""A session that somebody else has chosen is worth nothing to them once its bearer has logged in."""

from __future__ import annotations

from django.contrib.auth.models import User

from progrock import access
from progrock.embedded import Engine
from progrock.testing import Remote
from tests.http.conftest import Caller, said
from tests.http.conftest import caller as caller
from tests.http.conftest import engine as engine
from tests.http.conftest import going as going
from tests.http.conftest import policy as policy
from tests.http.conftest import remote as remote
from tests.http.conftest import service as service
from tests.http.conftest import tell as tell
from tests.http.conftest import uncounted as uncounted


async def test_who_planted_a_session_sees_nothing_of_who_logs_in_with_it(
    engine: Engine, going: Remote, caller: Caller
) -> None:
    planted = await caller.start()
    victim = Caller()
    victim.http.cookies["sessionid"] = caller.http.cookies["sessionid"].value
    assert (await victim.snapshot(planted))["job"] == planted
    user = await User.objects.acreate(username="victim")
    await victim.http.aforce_login(user)
    assert victim.http.cookies["sessionid"].value != caller.http.cookies["sessionid"].value
    own = await victim.start()
    # What was started in that session is its user's now, and nobody else's.
    assert {each["job"] for each in said(await victim.get("jobs/"))["jobs"]} == {planted, own}
    for job in (planted, own):
        for path in ("", "result", "stream", "file"):
            assert (await caller.get(f"jobs/{job}/{path}")).status_code == 404
        for verb in ("cancel", "retry"):
            assert (await caller.post(f"jobs/{job}/{verb}")).status_code == 404
    assert said(await caller.get("jobs/"))["jobs"] == []
    # Nor is what decides about it, a token in the session, one that a request can bring along.
    scope = {"session": None, "user": None, "headers": [(b"cookie", b"progrock.owner=user:%d" % user.pk)]}
    assert (await access.owner_of_scope(scope)).startswith("socket:")


async def test_who_logs_out_takes_nothing_along_to_who_comes_next(
    engine: Engine, going: Remote, caller: Caller
) -> None:
    user = await User.objects.acreate(username="first")
    await caller.http.aforce_login(user)
    job = await caller.start()
    await caller.http.alogout()
    assert (await caller.get(f"jobs/{job}/")).status_code == 404
    await caller.http.aforce_login(await User.objects.acreate(username="second"))
    assert said(await caller.get("jobs/"))["jobs"] == []
