"""Sentences for expressions in both languages are complete and correct."""

from __future__ import annotations

import pytest

from jobs.schedules.cron.schedule import Cron

_SENTENCES = [
    ("0 0 8-10 * * *", "At 08:00, 09:00 and 10:00, every day", "每天，08:00、09:00、10:00"),
    ("*/10 * * * * *", "Every 10 seconds", "每 10 秒"),
    ("* * * * * *", "Every second", "每秒"),
    ("* * * * *", "Every minute", "每分钟"),
    ("0/30 * * * *", "Every 30 minutes", "每 30 分钟"),
    ("0 * * * *", "Every hour", "每小时"),
    ("0 */2 * * *", "Every 2 hours", "每 2 小时"),
    ("0/45 * * * *", "In minute 0 and 45, every hour, every day", "每天，每小时，第 0、45 分钟"),
    ("15 * * * *", "Every hour from 00:15 to 23:15, every day", "每天，00:15 至 23:15 每小时"),
    (
        "0 0/30 8-10 * * *",
        "At 08:00, 08:30, 09:00, 09:30, 10:00 and 10:30, every day",
        "每天，08:00、08:30、09:00、09:30、10:00、10:30",
    ),
    (
        "0 0 9-17 * * MON-FRI",
        "Every hour from 09:00 to 17:00, on Monday to Friday",
        "星期一至星期五，09:00 至 17:00 每小时",
    ),
    ("* 9-17 * * *", "Every minute from 09:00 to 17:59, every day", "每天，09:00 至 17:59 每分钟"),
    ("0 0 0 25 12 ?", "At 00:00, on day 25 of the month, in December", "十二月，每月 25 日，00:00"),
    (
        "0 23-7/2,8 * * *",
        "At 01:00, 03:00, 05:00, 07:00, 08:00 and 23:00, every day",
        "每天，01:00、03:00、05:00、07:00、08:00、23:00",
    ),
    ("*/30 22-3 * * *", "Every 30 minutes, in hour 0-3, 22 and 23, every day", "每天，0-3、22、23 点，每 30 分钟"),
    (
        "0 11 4 * 1-3",
        "At 11:00, on day 4 of the month and also on Monday to Wednesday",
        "每月 4 日以及星期一至星期三，11:00",
    ),
    (
        "0 0 */15 * MON",
        "At 00:00, on day 1, 16 and 31 of the month, but only on Monday",
        "每月 1、16、31 日且仅当星期一，00:00",
    ),
    ("45 11 * * 0,6", "At 11:45, on Saturday and Sunday", "星期六、星期日，11:45"),
    ("0 9 * * FRI-MON", "At 09:00, on Monday and Friday to Sunday", "星期一、星期五至星期日，09:00"),
    (
        "0 0 1 NOV-FEB *",
        "At 00:00, on day 1 of the month, in January, February, November and December",
        "一月、二月、十一月、十二月，每月 1 日，00:00",
    ),
    ("0 0 L * *", "At 00:00, on the last day of the month", "每月最后一天，00:00"),
    ("0 0 L-3 * *", "At 00:00, 3 days before the last day of the month", "每月最后一天的前 3 天，00:00"),
    (
        "0 0 LW * *",
        "At 00:00, on the last day of the month from Monday to Friday",
        "每月最后一个周一至周五的日子，00:00",
    ),
    (
        "0 0 15W * *",
        "At 00:00, on the day from Monday to Friday nearest to day 15",
        "每月离 15 日最近的周一至周五的日子，00:00",
    ),
    ("0 0 5C * ?", "At 00:00, on the first working day from day 5 of the month on", "每月 5 日起的第一个工作日，00:00"),
    ("0 0 ? * FRIC", "At 00:00, on the first working day from Friday on", "从星期五起的第一个工作日，00:00"),
    ("0 0 ? * FRIL", "At 00:00, on the last Friday of the month", "每月最后一个星期五，00:00"),
    ("0 0 ? * 2#1", "At 00:00, on the first Tuesday of the month", "每月第一个星期二，00:00"),
    (
        "0 0 1,L * SUN#2",
        "At 00:00, on day 1 of the month and on the last day of the month and also on the second Sunday of the month",
        "每月 1 日、每月最后一天以及每月第二个星期日，00:00",
    ),
    ("15 30 8 * * *", "At 08:30:15, every day", "每天，08:30:15"),
    ("5,15 */5 * * * *", "At second 5 and 15, every 5 minutes, every day", "每天，每 5 分钟，第 5、15 秒"),
    ("*/20 5 * * * *", "Every 20 seconds, in minute 5, every hour, every day", "每天，每小时，第 5 分钟，每 20 秒"),
    ("*/20 * 3-6,9 * * *", "Every 20 seconds, in hour 3-6 and 9, every day", "每天，3-6、9 点，每 20 秒"),
    ("5 * * * * *", "Every minute from 00:00:05 to 23:59:05, every day", "每天，00:00:05 至 23:59:05 每分钟"),
    (
        "0 0 0 1 1 ? 2090-2092,2094",
        "At 00:00, on day 1 of the month, in January, in the year 2090-2092 and 2094",
        "2090-2092、2094 年，一月，每月 1 日，00:00",
    ),
    ("@daily", "At 00:00, every day", "每天，00:00"),
    ("@every 90s", "Every 90 seconds", "每 90 秒"),
    ("@every 1h30m", "Every 90 minutes", "每 90 分钟"),
    ("@every 2h", "Every 2 hours", "每 2 小时"),
    ("@every 24h", "Every day", "每天"),
    ("@every 48h", "Every 2 days", "每 2 天"),
]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_an_expression_has_a_sentence(language: str) -> None:
    wrong = []
    for text, english, chinese in _SENTENCES:
        expected = {
            "en": f"{english} (time zone Asia/Shanghai)",
            "zh-hans": f"{chinese}（时区 Asia/Shanghai）",
        }[language]
        said = Cron.parse(text, timezone="Asia/Shanghai").sentence(language)
        if said != expected:
            wrong.append((text, said, expected))
    assert wrong == []


def test_the_sentence_names_the_zone_of_the_expression() -> None:
    said = Cron.parse("TZ=Europe/Berlin 0 9 * * *", timezone="Asia/Shanghai").sentence("en")
    assert said == "At 09:00, every day (time zone Europe/Berlin)"
