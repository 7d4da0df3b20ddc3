"""The demo in a real browser that has JavaScript switched off."""

from __future__ import annotations

from playwright.async_api import Browser, Page, expect

from tests.e2e.conftest import LONG, on_the_loop_of_chromium
from tests.e2e.server import ServerProcess


@on_the_loop_of_chromium
async def page(browser: Browser) -> Page:
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800})
    return await context.new_page()


async def test_a_track_is_recorded_and_got_without_javascript(page: Page, server: ServerProcess) -> None:
    await page.goto(server.url)
    await expect(page.locator("#connection")).to_be_hidden()
    await page.locator("#notes summary").click()
    await page.fill("#length", "14")
    await page.select_option("#meter", "7/8")
    await page.locator("#rock-out").click()
    # One click leads to the track's page, which asks again by itself until the track is there.
    await page.wait_for_url("**/prog/jobs/*/")
    article = page.locator("article.job")
    await expect(page.locator("progress")).to_be_visible()
    await expect(article).to_have_attribute("data-state", "running", timeout=LONG)
    await expect(article).to_have_attribute("data-state", "succeeded", timeout=LONG)
    await expect(page.locator("h1")).to_contain_text("7/8")
    link = await page.locator("article a[href$=file]").get_attribute("href")
    file = await page.context.request.get(f"{server.url}{link}")
    assert (file.status, file.headers["content-type"]) == (200, "audio/wav")
    await page.locator("nav a").click()
    await expect(page.locator(".jobs > li")).to_have_count(1)
    await expect(page.locator(".jobs > li")).to_have_attribute("data-state", "succeeded")


async def test_a_track_is_cancelled_and_tried_again_without_javascript(page: Page, server: ServerProcess) -> None:
    await page.goto(server.url)
    await page.locator("#notes summary").click()
    await page.fill("#length", "120")
    await page.locator("#rock-out").click()
    await page.wait_for_url("**/prog/jobs/*/")
    first = page.url
    await page.get_by_role("button", name="Cancel").click()
    article = page.locator("article.job")
    await expect(article).to_have_attribute("data-state", "cancelled", timeout=LONG)
    await page.get_by_role("button", name="Retry").click()
    await page.wait_for_url(lambda url: url != first)
    await page.get_by_role("button", name="Cancel").click()
    await expect(article).to_have_attribute("data-state", "cancelled", timeout=LONG)


async def test_what_was_refused_is_told(page: Page, server: ServerProcess) -> None:
    await page.goto(server.url)
    await page.locator("#notes summary").click()
    # What no page of ours would send.
    await page.locator("#length").evaluate("field => field.type = 'text'")
    await page.fill("#length", "for ever")
    await page.locator("#rock-out").click()
    await expect(page.locator("h1")).to_have_text("That did not work")
    await expect(page.locator(".reason")).to_contain_text("length")
