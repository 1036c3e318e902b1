"""The rules that every page must meet."""

from __future__ import annotations

from html.parser import HTMLParser

from django.http import HttpResponse

_POLICY = ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'")


class _Inline(HTMLParser):
    """Collects what the policy would block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        names = dict(attrs)
        if tag == "style" or (tag == "script" and not names.get("src")):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "hx-on")) or (value or "").strip().startswith("javascript:"):
                self.found.append(f"<{tag} {name}>")
            if name in ("src", "href", "action", "hx-get") and (value or "").startswith(("http:", "https:", "//")):
                self.found.append(f"<{tag} {name}={value}>")


def text_of(response: HttpResponse) -> str:
    """The body as text."""
    return response.content.decode()


def assert_sound(response: HttpResponse) -> None:
    """The answer carries the policy, and the page keeps it and points to no other host."""
    policy = response.headers["Content-Security-Policy"]
    for directive in _POLICY:
        assert directive in policy
    if response.headers.get("Content-Type", "").startswith("text/html"):
        parser = _Inline()
        parser.feed(text_of(response))
        assert not parser.found, parser.found


class _Words(HTMLParser):
    """Collects the words that a person reads."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what attributes say."""
        self._hidden += tag in ("script", "style")
        self.words += [value for name, value in attrs if name in ("title", "aria-label", "placeholder") and value]

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        """Take text."""
        if not self._hidden and data.strip():
            self.words.append(" ".join(data.split()))


def words_of(response: HttpResponse) -> list[str]:
    """The pieces of text that a person reads on the page."""
    parser = _Words()
    parser.feed(text_of(response))
    return parser.words
