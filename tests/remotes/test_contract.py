"""The contract of adapters, kept by presets against the real services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from progrock.services import HTTPService, Service
from progrock.testing import AdapterContract
from tests.remotes.servers import PygeoapiServer, ScrapydServer


@pytest.fixture(scope="module")
def pygeoapi() -> Iterator[PygeoapiServer]:
    with PygeoapiServer() as server:
        yield server


@pytest.fixture(scope="module")
def scrapyd() -> Iterator[ScrapydServer]:
    with ScrapydServer() as server:
        yield server


class TestPygeoapi(AdapterContract):
    runs = {"steps": 600, "pause": 0.1}
    ends = {"steps": 1, "pause": 0.1}
    patience = 30.0

    @pytest.fixture(autouse=True)
    def there(self, pygeoapi: PygeoapiServer) -> None:
        self.url = pygeoapi.url

    def adapter(self) -> Service:
        start = {"call": "POST /processes/slow/execution"}
        return HTTPService(preset="ogc-api-processes", base_url=self.url, start=start, connections=2)


class TestScrapyd(AdapterContract):
    patience = 60.0

    @pytest.fixture(autouse=True)
    def there(self, scrapyd: ScrapydServer) -> None:
        self.url = scrapyd.url
        crawl: dict[str, Any] = {"spider": "pages", "url": scrapyd.url + scrapyd.ready, "pause": 0.1}
        self.runs, self.ends = {**crawl, "pages": 1_000}, {**crawl, "pages": 1}

    def adapter(self) -> Service:
        return HTTPService(preset="scrapyd", base_url=self.url, connections=2)
