"""`schedule …` in both languages."""

from __future__ import annotations

import pytest

from accounts.models import User
from jobs.models import Job, Schedule
from tests.chat.conftest import Say
from tests.factories import make_agent

pytestmark = pytest.mark.django_db


def test_a_schedule_is_made_looked_at_paused_run_and_deleted(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    assert "0 8 * * *" in say("schedule")
    said = say("schedule add backup 30 2 * * * nas backup all")
    assert "02:30" in said
    assert "backup" in said
    schedule = Schedule.objects.get()
    assert (schedule.cron, schedule.message, schedule.timezone) == ("30 2 * * *", "backup all", "Asia/Shanghai")
    assert "backup (30 2 * * *) nas" in say("schedule list")
    assert say("schedule backup").count("02:30:00") == 3
    assert "off" in say("schedule pause backup")
    assert say("schedule").startswith("⏸")
    assert "02:30:00" in say("schedule resume backup")
    assert "until" in say("schedule pause backup 2天")
    assert say("schedule run backup").startswith("🕘")
    assert Job.objects.get().parent_id == schedule.pk
    assert "🕘" in say("schedule backup").splitlines()[-1]
    assert "deleted" in say("schedule del backup")
    assert Schedule.objects.exists()
    assert say("yes") == "backup is deleted."
    assert not Schedule.objects.exists()


def test_expressions_of_any_length_and_in_quotes(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    lines = {
        "schedule add a 0 8 * * MON-FRI nas look 1": ("0 8 * * MON-FRI", "look 1"),
        "schedule add b 0 0 8 * * * nas 5 * 5": ("0 0 8 * * *", "5 * 5"),
        "schedule add c 0 0 8 1 1 ? 2090 nas look": ("0 0 8 1 1 ? 2090", "look"),
        "schedule add d @every 5m nas look": ("@every 5m", "look"),
        "定时 添加 e @daily nas look": ("@daily", "look"),
        "schedule add f “0 8 * * *” nas look": ("0 8 * * *", "look"),
        'schedule add g "0 8 * * *" nas look': ("0 8 * * *", "look"),
    }
    for line, (cron, message) in lines.items():
        said = say(line)
        found = Schedule.objects.filter(name=line.split()[2]).first()
        assert found is not None, (line, said)
        assert (found.cron, found.message) == (cron, message), line


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("schedule add a 0 8 * * * box look", "no agent called box"),
        ("schedule add a 0 8 * * 9 nas look", "9"),
        ("schedule add a 0 0 30 2 * nas look", "ever"),
        ("schedule add a 0 8 * * * nas", "agent"),
        ("schedule add a", "schedule add NAME"),
        ("schedule pause nothing", "nothing"),
        ("schedule add a * * * * * * nas look", "10s"),
    ],
)
def test_what_is_refused(line: str, word: str, alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    assert word in say(line)
    assert not Schedule.objects.exists()
