"""Lengths of time as people and programs write them: `1h2m3s`, `15d`, `2w`, `15天`, `2小时30分钟`, or whole seconds.

Go's format (https://pkg.go.dev/time#ParseDuration) with its units ns us ms s m h and fractions; days of 24 hours, weeks
and the Chinese words are ours. Units in capitals are refused: `1M` might be a month or a minute.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from fractions import Fraction

from kernel.errors import InvalidDuration

_LONGEST_TEXT = 64
_SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "毫秒": Fraction(1, 10**3),
    **dict.fromkeys(("s", "秒", "秒钟"), Fraction(1)),
    **dict.fromkeys(("m", "分", "分钟"), Fraction(60)),
    **dict.fromkeys(("h", "时", "小时", "个小时", "个钟头"), Fraction(3600)),
    **dict.fromkeys(("d", "天", "日"), Fraction(86_400)),
    **dict.fromkeys(("w", "周", "星期", "个星期"), Fraction(7 * 86_400)),
}
_UNITS = "|".join(sorted(map(re.escape, _SECONDS), key=len, reverse=True))
_PART = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({_UNITS})")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(value: object) -> dt.timedelta:
    """Return the length, rounded up to whole microseconds so that nothing runs early. It is never negative.

    `value` is text with a unit after every number, or a whole number of seconds (an int). Raises InvalidDuration for
    everything else, including `"90"` and `-1s`, and for lengths beyond the range of `timedelta`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = Fraction(value)
    elif isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        seconds = _seconds(unicodedata.normalize("NFKC", value.strip()))
    else:
        raise InvalidDuration
    if seconds < 0:
        raise InvalidDuration
    try:
        return dt.timedelta(microseconds=math.ceil(seconds * 10**6))
    except OverflowError:
        raise InvalidDuration from None


def format_duration(length: dt.timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as `length` again, down to whole seconds: `15d`, `1h30m`."""
    left = max(0, round(length.total_seconds()))
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _seconds(text: str) -> Fraction:
    if text == "0":  # the only number that Go reads without a unit
        return Fraction(0)
    if not _WHOLE.fullmatch(text):
        raise InvalidDuration
    return sum((Fraction(_decimal(number)) * _SECONDS[unit] for number, unit in _PART.findall(text)), Fraction(0))


def _decimal(number: str) -> str:
    """Return Go's `1.` and `.5` as a Fraction reads them."""
    whole, _, part = number.partition(".")
    return f"{whole or '0'}.{part or '0'}"
