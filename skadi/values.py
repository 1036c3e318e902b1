"""Values of skadi.yml: durations, sizes, modes, lists. Every function raises ValueError with a sentence for the
user.
"""

from __future__ import annotations

import re
from typing import Any

DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+\Z")
DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
SIZE = re.compile(r"([0-9]+) ?([KMG]i?B?|B)?\Z")
SIZES = {"K": 1024, "M": 1024**2, "G": 1024**3}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def text_value(value: Any) -> str:
    """Return a text, "" for None."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if "\0" in value:
        raise ValueError("contains a NUL character")
    return value


def flag(value: Any) -> bool:
    """Return a boolean from true or false. Tools disagree about YAML 1.1 words such as yes, so they are refused."""
    text = text_value(value).lower()
    if text in ("true", "false", ""):
        return text == "true"
    raise ValueError(f"must be true or false, not {value}")


def seconds(value: Any, least: float, most: float) -> float:
    """Return a duration such as 90, 90s, 1m30s or 500ms in seconds, within bounds."""
    text = text_value(value)
    if re.match(r"[0-9]+(?:\.[0-9]+)?\Z", text):
        result = float(text)
    elif DURATION.match(text):
        result = sum(float(number) * SECONDS[unit] for number, unit in DURATION_PART.findall(text))
    else:
        raise ValueError(f"must be a duration such as 90s, 10m or 1h30m, not {value}")
    if not least <= result <= most:
        raise ValueError(f"must be between {duration_text(least)} and {duration_text(most)}")
    return result


def duration_text(value: float) -> str:
    """Return a duration as people write it: 1m30s for 90."""
    if value < 60:
        return f"{value:g}s"
    whole = int(value)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join("{}{}".format(*part) for part in parts if part[0])


def size(value: Any, least: int, most: int) -> int:
    """Return a size such as 65536, 64K, 64KiB or 1MiB in bytes, within bounds. K is always 1024."""
    match = SIZE.match(text_value(value))
    if not match:
        raise ValueError(f"must be a size such as 64KiB or 1MiB, not {value}")
    result = int(match.group(1)) * SIZES.get((match.group(2) or "")[:1], 1)
    if not least <= result <= most:
        raise ValueError(f"must be between {least} and {most} bytes")
    return result


def count(value: Any, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    text = text_value(value)
    if not re.match(r"[0-9]{1,9}\Z", text) or not least <= int(text) <= most:
        raise ValueError(f"must be a number between {least} and {most}, not {value}")
    return int(text)


def mode(value: Any) -> int:
    """Return an octal mask such as 022 or 0o022."""
    text = text_value(value)
    if not re.match(r"(?:0o)?[0-7]{1,4}\Z", text):
        raise ValueError(f"must be octal such as 022, not {value}")
    return int(text.replace("0o", ""), 8)


def patterns(value: Any) -> tuple[re.Pattern[str], ...]:
    """Return a list of regular expressions, one for each argument."""
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of regular expressions such as ['^[a-z]+$']")
    compiled = []
    for item in value:
        try:
            compiled.append(re.compile(text_value(item)))
        except re.error as error:
            raise ValueError(f"{item} is not a regular expression: {error}") from error
    return tuple(compiled)


def variables(value: Any) -> dict[str, str]:
    """Return a map of environment variables."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("must be a map such as {LANG: zh_CN.UTF-8}")
    for name in value:
        if not isinstance(name, str) or not VARIABLE.match(name):
            raise ValueError(f"{name} is not a valid name of an environment variable")
    return {name: text_value(item) for name, item in value.items()}
