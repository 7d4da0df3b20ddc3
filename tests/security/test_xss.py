"""HTML in every field that a remote, a user or a schedule controls, on every page of ours, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.async_api import BrowserContext, Page, Request, expect

from tests.conftest import until
from tests.e2e.conftest import LONG, on_the_loop_of_chromium
from tests.e2e.conftest import browser as browser
from tests.e2e.conftest import chromium as chromium
from tests.e2e.conftest import context as context
from tests.e2e.server import ServerProcess
from tests.security.hostile import NAME

WATCH = """
self.pwned = () => console.error('pwned');
addEventListener('securitypolicyviolation', (event) =>
  console.error(`CSP ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`), true);
"""
"""Says on the console what a script of theirs would do, and what the policy has stopped, which should not have to."""
COMPLAINTS = re.compile("pwned|CSP|Content.Security|sandbox|Uncaught")
MADE = r"""() => {
  const made = [];
  const texts = [document.title];
  const look = (root) => {
    for (const each of root.querySelectorAll('*')) {
      const evil = [...each.attributes].some(({ name, value }) => /^on/.test(name) || /^\s*\w*script:/i.test(value));
      if (evil || each.hasAttribute('data-pwned')) made.push(each.outerHTML.slice(0, 200));
      if (each.shadowRoot) look(each.shadowRoot);
    }
    texts.push(root.textContent ?? root.body?.textContent ?? '');
    if (root === document) texts.push(document.body.textContent);
  };
  look(document);
  return [made, texts.some((text) => text.includes('data-pwned'))];
}"""
"""Returns the elements that were made of what they said, and whether it is there as text."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    more = {"DJANGO_SETTINGS_MODULE": "tests.security.hostile"}
    with ServerProcess("http://127.0.0.1:1", tmp_path_factory.mktemp("hostile"), more=more) as server:
        yield server


class Watched:
    """Pages of one browser, and whatever they do that they should not."""

    def __init__(self, context: BrowserContext, site: ServerProcess) -> None:
        self.context = context
        self.site = site
        self.trouble: list[str] = []

    async def page(self) -> Page:
        page = await self.context.new_page()
        page.on("console", lambda said: self.trouble.append(said.text) if COMPLAINTS.search(said.text) else None)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("dialog", lambda dialog: self.trouble.append(dialog.message))
        page.on("request", self._asked)
        return page

    def _asked(self, request: Request) -> None:
        if "pwned" in request.url.partition("?")[0].rpartition("/")[2]:
            self.trouble.append(request.url)

    async def open(self, page: Page, path: str) -> None:
        """Open a page, and see that what was said is shown there as text, and is nothing else."""
        await page.goto(f"{self.site.url}/{path}")
        await self.harmless(page, path)

    async def harmless(self, page: Page, path: str) -> None:
        async def told() -> bool:
            return bool((await page.evaluate(MADE))[1])

        try:
            await until(told)
        except AssertionError:
            raise AssertionError(f"{path} shows nothing of it: {await page.content()}") from None
        made, _ = await page.evaluate(MADE)
        assert (path, made, self.trouble) == (path, [], [])


@on_the_loop_of_chromium
async def watched(context: BrowserContext, site: ServerProcess) -> Watched:
    await context.add_init_script(WATCH)
    return Watched(context, site)


async def test_what_should_be_seen_is_seen(watched: Watched) -> None:
    page = await watched.page()
    await page.goto(f"{watched.site.url}/shown?raw")
    made, _ = await page.evaluate(MADE)
    assert len(made) == 3
    await until(lambda: any("CSP script-src" in each for each in watched.trouble))
    assert any(each.endswith("/pwned") for each in watched.trouble)


async def test_what_they_say_is_text_on_every_page(watched: Watched) -> None:
    begun = await (await watched.context.request.get(f"{watched.site.url}/begin")).json()
    page = await watched.page()
    # The elements, the rows of htmx, the toasts.
    for job in begun.values():
        await watched.open(page, f"shown?job={job}")
    own = page
    await own.goto(f"{watched.site.url}/shown?bare")
    # The page of the demo.
    page = await watched.page()
    await watched.open(page, "")
    await expect(page.locator("#tracks > li")).to_have_count(4, timeout=LONG)
    await watched.harmless(page, "")
    # The pages without JavaScript, and what they lead to.
    for path in ("jobs/", *(f"jobs/{job}/" for job in begun.values())):
        await watched.open(page, f"prog/{path}")
    # What others are shown who have a link.
    for job in (begun["runs"], begun["fails"]):
        told = await (await watched.context.request.get(f"{watched.site.url}/link?job={job}")).json()
        await watched.open(page, f"prog/shared/{told['token']}/")
    # What ends while somebody looks elsewhere: a toast of each kind.
    await page.goto(f"{watched.site.url}/prog/jobs/{begun['runs']}/")
    await own.bring_to_front()
    await page.locator("form button").first.click()
    await watched.context.request.get(f"{watched.site.url}/again?job={begun['fails']}")
    await expect(own.locator("prog-rock-toasts [part~=toast]")).to_have_count(2, timeout=LONG)
    await watched.harmless(own, "shown")
    # What a browser does with the file is decided by nobody but us.
    await page.goto(f"{watched.site.url}/prog/jobs/{begun['ends']}/file")
    assert await page.evaluate("self.origin") == "null"
    assert "pwned" not in watched.trouble
    assert all("script" in each for each in watched.trouble)


async def test_nor_is_it_anything_else_in_the_admin(watched: Watched) -> None:
    begun = await (await watched.context.request.get(f"{watched.site.url}/begin")).json()
    await watched.context.clear_cookies()
    await watched.context.request.get(f"{watched.site.url}/enter")
    page = await watched.page()
    jobs = "admin/progrock/job/"
    # What has moved is shown by the script of the page, which asks by itself.
    async with page.expect_response(lambda response: "/live/" in response.url):
        await watched.open(page, f"{jobs}?q={begun['runs']}")
    await watched.harmless(page, jobs)
    for path in (jobs, f"{jobs}?q={NAME}", f"{jobs}dead/", "admin/progrock/delivery/", "admin/"):
        await watched.open(page, path)
    for job in begun.values():
        await watched.open(page, f"{jobs}{job}/change/")
    # Who did it is in the timeline, what could not be done in the messages.
    await watched.open(page, f"{jobs}{begun['runs']}/change/")
    async with page.expect_navigation():
        await page.click("text=Cancel this job")
    await watched.harmless(page, "cancelled")
    await watched.open(page, f"{jobs}{begun['ends']}/change/")
