"""The chat page, on which a person plays the users of the platforms. Its files need no build step."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from devtools.simulator.wire import Response

_FOLDER: Final = Path(__file__).parent
_FILES: Final = {
    "/chat": ("index.html", "text/html"),
    "/chat/chat.css": ("chat.css", "text/css"),
    "/chat/chat.js": ("chat.js", "text/javascript"),
    "/chat/sim.js": ("sim.js", "text/javascript"),
    "/chat/bubbles.js": ("bubbles.js", "text/javascript"),
    "/chat/words.js": ("words.js", "text/javascript"),
}
_POLICY: Final = "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"


def page_answer(path: str) -> Response | None:
    """Return the page or one of its files, None for another path. `/q/<id>` (a QR code's address) is the page."""
    if path == "/":
        return Response(status=302, headers={"Location": "/chat"})
    name, kind = _FILES["/chat"] if path.startswith("/q/") else _FILES.get(path, ("", ""))
    if not name:
        return None
    answer = Response.of_text((_FOLDER / name).read_text(encoding="utf-8"), kind=kind)
    answer.headers |= {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return answer
