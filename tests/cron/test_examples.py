"""Every example of the shared file has the runs or the refusal that it lists."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from jobs.schedules.cron.grammar import LONGEST_EXPRESSION
from jobs.schedules.cron.schedule import Cron, InvalidSchedule
from kernel.errors import InvalidRequest
from tests.cron.examples import REFUSED, RUNS, calendar_of, time_of


def test_every_example_runs_when_it_says() -> None:
    wrong = []
    for example in RUNS:
        start, anchor = time_of(example, "from"), time_of(example, "anchor")
        assert start is not None
        cron = Cron.parse(
            example["expression"], timezone=example["zone"], calendar=calendar_of(example), anchor=anchor, now=start
        )
        more = len(example["next"]) + bool(example.get("ends"))
        runs = cron.upcoming(start, more)
        shown = [run.astimezone(ZoneInfo(cron.timezone)).isoformat() for run in runs]
        if shown != example["next"] or any(run.utcoffset() for run in runs):
            wrong.append((example["what"], example["expression"], shown, example["next"]))
        one_by_one = [cron.next_after(moment) for moment in [start, *runs][:more]]
        assert one_by_one == [*runs, None][:more], example["what"]
    assert wrong == []
    assert len(RUNS) > 70


def test_every_example_has_its_warnings() -> None:
    for example in RUNS:
        warnings = Cron.parse(example["expression"], timezone=example["zone"], now=time_of(example, "from")).warnings
        assert [one.split()[0] for one in warnings] == example.get("warns", []), example["what"]


def test_a_warning_names_the_weekday() -> None:
    with translation.override("en"):
        warnings = Cron.parse("0 0 ? * 7#5,1L", timezone="UTC").warnings
    assert warnings == [
        "7#5 counts Sunday as 0 or 7, some programs count it as 1. Better write the name: SUN#5.",
        "1L counts Sunday as 0 or 7, some programs count it as 1. Better write the name: MONL.",
    ]


def test_every_refused_example_has_its_reason_and_a_sentence() -> None:
    wrong = []
    for example in REFUSED:
        try:
            Cron.parse(
                example["expression"],
                timezone=example.get("zone", "UTC"),
                calendar=calendar_of(example),
                now=time_of(example, "from"),
            )
            wrong.append((example["expression"], "accepted", example["error"]))
        except InvalidSchedule as error:
            if error.reason != example["error"] or "%(" in error.message:
                wrong.append((example["expression"], error.message, example["error"]))
    assert wrong == []
    assert len(REFUSED) > 80


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 0 * *", "A schedule has 5, 6 or 7 fields, this one has 4. 0 30 8 * * * is every day at 08:30:00."),
        ("0 0 30W-2 * ?", "The field day of month does not take 30W-2."),
        ("0 0 * * mun", "The field day of week does not take MUN."),
        ("*/90 * * * *", "The step of */90 in the field minute must be from 1 to 60. For other pauses: @every 90m."),
        ("0 0 * * L", "L alone as day of week means"),
        ("0 0 30 2 *", "No such day is ever to come. Look at the day, the month and the year of the schedule."),
        ("@every 5", "@every takes whole seconds from 1s to 400d, such as 90s, 10m or 1h30m, not 5."),
        ("TZ=Here 0 9 * * *", "There is no time zone Here. Write one such as Asia/Shanghai or UTC."),
    ],
)
def test_a_refusal_names_the_field_and_the_way_out(text: str, sentence: str) -> None:
    with pytest.raises(InvalidSchedule) as caught, translation.override("en"):
        Cron.parse(text, timezone="UTC")
    with translation.override("en"):
        assert caught.value.message.startswith(sentence)
    assert isinstance(caught.value, InvalidRequest)
    assert (caught.value.status, caught.value.code) == (400, "InvalidSchedule")


def test_a_too_long_expression_is_not_parsed() -> None:
    fits = "0 9 * * " + "1," * ((LONGEST_EXPRESSION - 9) // 2) + "1"
    assert len(fits) == LONGEST_EXPRESSION
    Cron.parse(fits, timezone="UTC")
    with pytest.raises(InvalidSchedule) as caught:
        Cron.parse(f"{fits},1", timezone="UTC")
    assert caught.value.reason == "length"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("*/10 * * * * *", 10),
        ("0 * * * *", 3600),
        ("0,1 0 * * *", 60),
        ("0,59 0,59 * * * *", 1),
        ("0 0 1 * ?", 28 * 86_400),
        ("0 0 29 2 *", 1461 * 86_400),
        ("@every 90s", 90),
        ("@every 400d", 400 * 86_400),
    ],
)
def test_the_shortest_gap_is_found(text: str, seconds: int) -> None:
    cron = Cron.parse(text, timezone="Asia/Shanghai")
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert cron.shortest_gap(start) == dt.timedelta(seconds=seconds)


def test_an_expression_with_one_run_left_has_no_gap() -> None:
    start = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    assert Cron.parse("0 0 0 1 1 ? 2027", timezone="UTC", now=start).shortest_gap(start) == dt.timedelta.max


def test_an_expression_keeps_its_text_and_the_zone_that_holds() -> None:
    cron = Cron.parse("  CRON_TZ=Europe/Berlin 0 9 * * * ", timezone="Asia/Shanghai")
    assert (cron.expression, cron.timezone) == ("CRON_TZ=Europe/Berlin 0 9 * * *", "Europe/Berlin")
