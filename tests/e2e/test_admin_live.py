"""The admin in a browser: somebody else's job moves there, and its page tells how it ended."""

from __future__ import annotations

from playwright.async_api import BrowserContext, expect

from tests.conftest import until
from tests.e2e.conftest import LONG, connect
from tests.e2e.server import ServerProcess

STAFF = """
from django.contrib.auth.models import Permission, User
user = User.objects.create_user("op", password="secret", is_staff=True)
user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "change_job"]))
"""


async def test_the_job_of_somebody_else_moves(context: BrowserContext, server: ServerProcess) -> None:
    server.manage("shell", "-c", STAFF)
    wish = {"action": "start", "service": "synth", "params": {"mode": "clock", "length": 120}}
    client = await connect(server)
    job = (await client.ask(wish))["job"]
    await client.connection.close()
    page = await context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text) if "Content Security" in said.text else None)
    jobs = f"{server.url}/admin/progrock/job/"
    await page.goto(f"{jobs}?q={job}")
    await page.fill("#id_username", "op")
    await page.fill("#id_password", "secret")
    await page.click("[type=submit]")
    bar = page.locator(".rock progress")

    async def value() -> float:
        return float(await bar.get_attribute("value") or 0)

    first = await value()

    async def moved() -> bool:
        return await value() > first

    await until(moved)
    await page.click("#result_list tbody th a")
    await expect(page.locator("#rock-now .rock")).to_have_attribute("data-state", "running")
    await page.click("text=Cancel this job")
    await page.goto(f"{jobs}{job}/change/")
    # It is told of its end by itself.
    await expect(page.locator(".rock-timeline")).to_contain_text("Attempt 1 cancelled", timeout=LONG)
    await expect(page.locator(".rock-timeline")).to_contain_text("by op in the admin")
    await expect(page.locator("text=Try it again")).to_be_visible()
    assert trouble == []
