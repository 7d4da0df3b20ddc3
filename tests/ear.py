"""A sink of updates that remembers."""

from __future__ import annotations

from progrock.updates import Update


class Ear:
    """To be handed to a hub's `watch`."""

    def __init__(self) -> None:
        self.heard: list[Update] = []

    def deliver(self, update: Update) -> bool:
        self.heard.append(update)
        return True

    @property
    def jobs(self) -> list[str]:
        return [update.job for update in self.heard]
