"""Debian's Chromium, and a watch over what it must not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that makes no calls of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True, kw_only=True)
class Look:
    """A way to view the pages: size, language, colours."""

    language: str
    width: int
    scheme: str

    def __str__(self) -> str:
        return f"{self.language}-{self.width}-{self.scheme}"


# Without slots: Playwright leaves a note on the owner of a handler.
@dataclass
class Watch:
    """Notes what goes wrong on a page: errors, requests to other hosts, refused answers, sideways scrolling."""

    base: str
    found: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        """Begin to watch."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("response", lambda answer: answer.status < 400 or self.found.append(f"{answer.status} {answer.url}"))

    def fits(self, page: Page) -> None:
        """Note a page that is wider than the window."""
        room, needed = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
        if needed > room:
            self.found.append(f"{page.url} needs {needed} px of {room}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.base + "/", "data:")):
            self.found.append(f"request to {request.url}")


@dataclass(slots=True, kw_only=True)
class Camera:
    """Takes pictures for the documentation where `folder` is given; else only checks that the page fits."""

    watch: Watch
    look: Look
    folder: Path | None
    wanted: frozenset[str]

    def shoot(self, page: Page, name: str) -> None:
        """Take one picture, named after what it shows and how, if it is one of the wanted."""
        self.watch.fits(page)
        picture = f"{name}-{self.look}.png"
        if self.folder is not None and picture in self.wanted:
            page.screenshot(path=self.folder / picture)
