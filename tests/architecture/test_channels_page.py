"""docs/channels.md says of every driver what its code says: what a person needs, the limits, the codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils import translation

from notifications.drivers.base import HTTP_TROUBLES, NO_ANSWER, Driver, Fault, Rate, Trouble
from notifications.drivers.registry import all_drivers
from tests.architecture.sources import ROOT

_PAGE = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")

_DONE = {
    Fault.RETRY: "tried again",
    Fault.PERMANENT: "next channel",
    Fault.QUOTA: "next channel, or later",
    Fault.WINDOW: "next way or channel",
    Fault.AUTH: "switched off",
}


def test_every_driver_stands_in_the_page_as_its_code_is() -> None:
    with translation.override("en"):
        for driver in all_drivers().values():
            section = "\n".join(_section(driver))
            assert section in _PAGE, f"docs/channels.md wants:\n{section}"
        for rows in (HTTP_TROUBLES, NO_ANSWER):
            table = "\n".join(_codes(rows))
            assert table in _PAGE, f"docs/channels.md wants:\n{table}"


def test_the_page_has_no_driver_that_is_none() -> None:
    assert re.findall(r"^### .+ \(`(\w+)`\)$", _PAGE, re.MULTILINE) == list(all_drivers())


def _section(driver: Driver) -> Iterator[str]:
    yield f"### {driver.label} (`{driver.name}`)"
    yield ""
    if driver.form.base_fields:
        yield "| field | where to find it |"
        yield "|---|---|"
        for name, field in driver.form.base_fields.items():
            wanted = "" if field.required else ", may be empty"
            yield f"| `{name}`: {field.label}{wanted} | {field.help_text} |"
        yield ""
    yield f"Limits: {'; '.join(_limits(driver))}."
    if driver.troubles:
        yield ""
        yield from _codes(driver.troubles)


def _limits(driver: Driver) -> Iterator[str]:
    yield f"texts of {driver.longest} {driver.unit}"
    yield from map(_rate, driver.rates)
    if driver.limits:
        yield str(driver.limits)


def _rate(rate: Rate) -> str:
    spans = {1: "a second", 60: "a minute", 3600: "an hour"}
    return (
        f"{rate.number} message{'s' if rate.number > 1 else ''} {spans.get(rate.seconds, f'in {rate.seconds} seconds')}"
    )


def _codes(rows: tuple[Trouble, ...]) -> Iterator[str]:
    yield "| code | what we do | meaning |"
    yield "|---|---|---|"
    for row in rows:
        after = f" after {row.retry_after_seconds:.0f} s" if row.retry_after_seconds else ""
        yield f"| `{row.code}` | {_DONE[row.kind]}{after} | {row.meaning} |"
