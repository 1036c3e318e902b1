"""Fit values to the fields of category templates: WeChat refuses the message for one wrong value (47003).

Source: 微信开放文档 · 订阅消息参数值内容限制说明, which holds for template messages as well. A field's type is its name
without the number: thing1, phrase3. Fields of a test account have names of their own and take anything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime

from django.utils import timezone

from kernel.text import cut

_ANYTHING_CHARACTERS = 200
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_EMPTY = "-"


def field_value(name: str, text: str, *, at: datetime) -> str:
    """Return the part of `text` that the field takes, or `at` for a field of time; one line, never empty."""
    kind = name.rstrip("0123456789")
    if kind in ("time", "date"):
        return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S")
    return _FITS.get(kind, _anything)(one_line(text)) or _EMPTY_OF.get(kind, _EMPTY)


def one_line(text: str) -> str:
    """Return `text` without line ends and invisible characters."""
    kept = "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)
    visible = "".join(
        one for one in kept if unicodedata.category(one) not in ("Cf", "Cs", "Co", "Cn") or one == "\u200d"
    )
    return " ".join(visible.split())


def _at_most(limit: int) -> Callable[[str], str]:
    """Return a function that cuts to `limit` UTF-16 units, because WeChat may count an emoji as two."""

    def fit(text: str) -> str:
        if _units(text) <= limit:
            return text
        short = cut(text, limit - 1, "characters")
        while _units(short) > limit - 1:
            short = cut(short, len(short) - 1, "characters")
        return short.rstrip() + "…"

    return fit


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _only(pattern: str, limit: int) -> Callable[[str], str]:
    allowed = re.compile(pattern)
    return lambda text: "".join(allowed.findall(text))[:limit].strip()


def _number(text: str) -> str:
    found = re.search(r"[+-]?[0-9]{1,15}(\.[0-9]{1,10})?", text)
    return found[0] if found else ""


def _amount(text: str) -> str:
    found = re.search(r"[¥$€]?[0-9]{1,10}(\.[0-9]{1,2})?", text)
    return found[0] if found else ""


def _name(text: str) -> str:
    return _at_most(10 if _CHINESE.search(text) else 19)(text)


_anything = _at_most(_ANYTHING_CHARACTERS)

_FITS: Mapping[str, Callable[[str], str]] = {
    "thing": _at_most(20),
    "short_thing": _at_most(10),
    "const": _at_most(20),
    "number": _number,
    "letter": _only(r"[A-Za-z]", 32),
    "symbol": _only(r"[!-/:-@\[-`{-~]", 5),
    "character_string": _only(r"[ -~]", 32),
    "amount": _amount,
    "phone_number": _only(r"[0-9+()-]", 17),
    "car_number": _only(r"[A-Za-z0-9\u3400-\u9fff]", 8),
    "name": _name,
    "phrase": _only(r"[\u3400-\u9fff]", 5),
}
_EMPTY_OF: Mapping[str, str] = {
    "number": "0",
    "amount": "0",
    "letter": "N",
    "phone_number": "0",
    "car_number": "0",
    "phrase": "通知",
}
