"""A spider that reads the same page again and again, slowly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from scrapy import Request, Spider


class PagesSpider(Spider):
    """Reads `url` as often as `pages` says, with `pause` seconds in between."""

    name = "pages"

    def __init__(self, url: str, pages: str = "3", pause: str = "0.2", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._url, self._pages = url, int(pages)
        self.download_delay = float(pause)

    async def start(self) -> AsyncIterator[Request]:
        for number in range(self._pages):
            yield Request(self._url, dont_filter=True, cb_kwargs={"number": number})

    def parse(self, response: Any, number: int) -> Iterator[dict[str, Any]]:
        yield {"number": number, "size": len(response.body)}
