"""Every command in both languages, what it does, and what it refuses."""

from __future__ import annotations

import re

import pytest
from django.utils import translation
from pytest_django import Settings

from accounts.models import AuditEntry, User, UserToken
from accounts.services.identities import set_language
from accounts.tokens import digest
from agents.models import Agent, AgentToken
from agents.services.manage import AgentChange, update_agent
from agents.services.presence import AgentTouch, touch_agents
from chat.commands.interpret import answer
from chat.commands.registry import Line, all_commands
from chat.commands.words import is_chinese
from chat.models import Question
from jobs.life.report import ReportKind
from jobs.models import Job
from jobs.states import JobStatus
from kernel.clock import database_now
from tests.chat.conftest import Say
from tests.factories import claim, make_agent, make_job, report

pytestmark = pytest.mark.django_db

_USER_TOKEN = re.compile(r"ls[ujn]_[0-9A-Za-z]{36}")


def _token_in(text: str) -> str:
    found = _USER_TOKEN.search(text)
    assert found is not None, text
    return found[0]


@pytest.mark.parametrize("word", ["help", "帮助", "HELP", "ｈｅｌｐ", "  Help  ", "help　"])
def test_help_lists_every_command(word: str, say: Say) -> None:
    text = say(word)
    for command in all_commands():
        phrase = command.phrases[0].split()[0]
        assert phrase in text


@pytest.mark.parametrize("word", ["help agent", "帮助 代理"])
def test_help_of_one_word_explains_its_commands(word: str, say: Say) -> None:
    text = say(word)
    assert "agent add" in text
    assert "agent del" in text
    assert "token" not in text.split("\n")[0]


@pytest.mark.parametrize("word", ["token", "令牌", "Token"])
def test_token_is_the_same_each_time_and_stands_nowhere_in_the_clear(word: str, alice: User, say: Say) -> None:
    token = _token_in(say(word))
    assert token.startswith("lsu_")
    assert _token_in(say("token")) == token
    row = UserToken.objects.get(user=alice)
    assert row.digest == digest(token)
    assert token not in row.sealed
    assert row.sealed


@pytest.mark.parametrize("word", ["token notify", "令牌 通知"])
def test_token_notify_is_for_messages_only(word: str, alice: User, say: Say) -> None:
    assert _token_in(say(word)).startswith("lsn_")
    assert UserToken.objects.get(user=alice).scope == "messages"


@pytest.mark.parametrize(("word", "yes"), [("token reset", "yes"), ("令牌 重置", "确认")])
def test_token_reset_asks_and_ends_the_old_one(word: str, yes: str, alice: User, say: Say) -> None:
    old = _token_in(say("token"))
    assert not _USER_TOKEN.search(say(word))
    assert UserToken.objects.get(digest=digest(old)).revoked_at is None
    new = _token_in(say(yes))
    assert new != old
    assert UserToken.objects.get(digest=digest(old)).revoked_at is not None
    assert _token_in(say("token")) == new


def test_a_token_sealed_with_lost_keys_is_replaced(alice: User, say: Say) -> None:
    old = _token_in(say("token"))
    UserToken.objects.update(sealed="damaged")
    assert _token_in(say("token")) != old
    assert UserToken.objects.get(digest=digest(old)).revoked_at is not None


def test_a_reply_with_a_token_has_a_masked_form(alice: User) -> None:
    reply = answer(Line(owner_id=alice.pk, text="token", platform="console"))
    assert _USER_TOKEN.search(reply.text)
    assert not _USER_TOKEN.search(reply.to_keep)


@pytest.mark.parametrize("word", ["status", "状态", "agent", "代理", "agent list", "代理 列表"])
def test_status_lists_the_agents(word: str, alice: User, say: Say) -> None:
    assert "agent add" in say(word)
    make_agent(owner=alice, name="nas")
    away = make_agent(owner=alice, name="away", online=False)
    off = make_agent(owner=alice, name="off")
    update_agent(agent=away, change=AgentChange(alias="远方"), actor="test")
    update_agent(agent=off, change=AgentChange(enabled=False), actor="test")
    text = say(word)
    assert "🟩 nas" in text
    assert "🟥 away (远方)" in text
    assert "⬜ off" in text


def test_a_long_list_of_agents_is_cut(alice: User, say: Say) -> None:
    for number in range(43):
        make_agent(owner=alice, name=f"a{number}", online=False)
    assert "and 3 more" in say("status")


@pytest.mark.parametrize("word", ["agent add", "代理 添加", "Agent ADD"])
def test_agent_add_gives_a_token_that_works(word: str, alice: User, say: Say) -> None:
    text = say(f"{word} 客厅 tv")
    agent = Agent.objects.get(owner=alice)
    assert (agent.name, agent.alias) == ("客厅", "tv")
    found = re.search(r"\b[0-9A-Za-z]{20}\b", text)
    assert found is not None
    assert AgentToken.objects.get(agent=agent).digest == digest(found[0])


@pytest.mark.parametrize("name", ["help", "帮助", "x", "confirm", "令牌"])
def test_agent_add_refuses_words_of_the_commands(name: str, alice: User, say: Say) -> None:
    assert "name" in say(f"agent add {name}").lower()
    assert not Agent.objects.exists()


@pytest.mark.parametrize(
    "word", ["agent add", "agent add a1 b1 c1", "agent del", "agent nas", "job", "lang", "token x"]
)
def test_too_few_or_too_many_words_get_the_usage(word: str, say: Say) -> None:
    text = say(word)
    assert text.startswith("Write it like this:\n")
    assert f"\n{word.split()[0]} " in text


@pytest.mark.parametrize(("word", "yes"), [("agent del", "YES"), ("代理 删除", "是的"), ("agent delete", "confirm")])
def test_agent_del_asks_first(word: str, yes: str, alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas", online=False)
    assert "nas" in say(f"{word} nas")
    agent.refresh_from_db()
    assert agent.deleted_at is None
    say(yes)
    agent.refresh_from_db()
    assert agent.deleted_at is not None


def test_agent_del_refuses_one_that_is_online(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    assert "online" in say("agent del nas")
    assert not Question.objects.exists()


@pytest.mark.parametrize(("word", "yes"), [("agent reset", "yes"), ("代理 重置", "确认")])
def test_agent_reset_asks_and_gives_a_new_token(word: str, yes: str, alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas")
    say(f"{word} nas")
    assert AgentToken.objects.filter(agent=agent, revoked_at=None).count() == 1
    before = AgentToken.objects.get(agent=agent, revoked_at=None)
    assert re.search(r"\b[0-9A-Za-z]{20}\b", say(yes))
    before.refresh_from_db()
    assert before.revoked_at is not None


@pytest.mark.parametrize("word", ["agent alias", "代理 别名"])
def test_agent_alias_names_an_agent_twice(word: str, alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas")
    say(f"{word} nas 家里")
    assert "🕘" in say("家里 date")
    say(f"{word} nas")
    agent.refresh_from_db()
    assert agent.alias == ""


@pytest.mark.parametrize("word", ["agent remark", "代理 备注"])
def test_agent_remark_is_kept(word: str, alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas")
    say(f"{word} nas in the   cellar")
    agent.refresh_from_db()
    assert agent.remark == "in the cellar"
    assert "250" in say(f"{word} nas {'x' * 251}")


def test_an_agent_of_somebody_else_is_not_there(charlie: User, alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    for line in ("nas date", "agent del nas", "agent alias nas xx", "agent reset nas"):
        assert "🕘" not in say(line, by=charlie)
    assert not Job.objects.exists()
    assert not Question.objects.exists()


def test_a_line_for_an_agent_becomes_a_job(alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="自己")
    text = say("自己　 echo   a\n b")
    job = Job.objects.get()
    assert (job.agent_id, job.message, job.source, job.callback) == (agent.pk, "echo   a\n b", "chat:console", "")
    assert job.pk[-6:] in text


def test_the_same_message_makes_one_job(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    for _ in range(2):
        say("nas date", message_id="m1")
    assert Job.objects.count() == 1


def test_an_agent_without_text_or_away_says_so(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    away = make_agent(owner=alice, name="away", online=False)
    assert "nas help" in say("nas")
    assert "offline" in say("away date")
    update_agent(agent=away, change=AgentChange(enabled=False), actor="test")
    assert "disabled" in say("away date")
    assert "4096" in say("nas " + "x" * 4097)
    assert not Job.objects.exists()


@pytest.mark.parametrize("word", ["jobs", "任务列表"])
def test_jobs_lists_the_newest(word: str, alice: User, say: Say) -> None:
    assert "No jobs yet" in say(word)
    agent = make_agent(owner=alice, name="nas")
    made = [make_job(agent, f"echo {number} " + "长" * 40) for number in range(7)]
    lines = say(word).split("\n")
    assert [line[-6:] for line in lines] == [job.pk[-6:] for job in made[:1:-1]]
    assert all(line.startswith("🕘 nas echo") for line in lines)
    assert len(say(f"{word} 2").split("\n")) == 2
    assert len(say(f"{word} 0").split("\n")) == 5


@pytest.mark.parametrize("word", ["job", "任务"])
def test_one_job_tells_what_it_put_out(word: str, alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas")
    job = make_job(agent)
    claim(agent)
    report(agent, job, ReportKind.SUCCEED, "Sat \x1b[31mNov")
    text = say(f"{word} #{job.pk[-6:].upper()}")
    assert "🟩 nas date" in text
    assert "Sat Nov" in text
    assert "“jobs”" in say(f"{word} 123")


@pytest.mark.parametrize("word", ["job cancel", "任务 取消", "cancel", "取消"])
def test_a_job_is_canceled_by_the_end_of_its_id(word: str, alice: User, charlie: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas")
    job = make_job(agent)
    assert "⬜" not in say(f"{word} {job.pk[-6:]}", by=charlie)
    assert "⬜" in say(f"{word} {job.pk[-6:]}")
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELED
    running = make_job(agent)
    claim(agent)
    assert "asked" in say(f"{word} {running.pk}")
    report(agent, running, ReportKind.SUCCEED)
    assert "finished" in say(f"{word} {running.pk}")


@pytest.mark.parametrize("word", ["me", "quota", "我的", "额度"])
def test_me_tells_what_somebody_has(word: str, alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    text = say(word)
    assert "alice" in text
    assert "1" in text


@pytest.mark.parametrize(
    ("word", "answered"), [("lang en", "I will answer in English."), ("语言 english", "I will answer in English.")]
)
def test_the_language_can_be_chosen(word: str, answered: str, alice: User, say: Say) -> None:
    assert say(word) == answered
    alice.refresh_from_db()
    assert alice.language == "en"
    say("lang zh")
    alice.refresh_from_db()
    assert alice.language == "zh-hans"
    assert "lang en" in say("lang xx")


def test_a_frozen_person_hears_only_that(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    User.objects.update(is_active=False)
    assert say("token") == say("nas date") == "This account is frozen. Ask the administrator of this service."
    assert not Job.objects.exists()


def test_what_is_done_is_audited(alice: User, say: Say) -> None:
    say("token")
    say("agent add nas")
    assert set(AuditEntry.objects.filter(actor=f"user:{alice.pk}").values_list("action", flat=True)) == {
        "token.mint",
        "agent.create",
    }
    assert database_now()


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_help_fits_into_one_passive_reply(language: str, alice: User, say: Say) -> None:
    """WeChat shows 2,048 bytes; what is longer would be cut where a person looks for what to say."""
    set_language(user=alice, language=language)
    assert len(say("help").encode()) <= 2048


def test_a_conversation_in_chinese(alice: User, say: Say) -> None:
    set_language(user=alice, language="zh-hans")
    assert say("帮助").startswith("您可以说")
    assert "已添加 客厅" in say("代理 添加 客厅")
    assert "🟥 客厅" in say("状态")
    assert "不在线" in say("客厅 开灯")
    touch_agents([AgentTouch(agent_id=Agent.objects.get().pk, ip=None, version="")])
    assert "等待[客厅]拉取" in say("客厅 开灯")
    assert "确认" in say("令牌 重置")
    assert say("取消") == "什么也没做。"
    assert "状态" in say("壮态")
    with translation.override("zh-hans"):
        for command in all_commands():
            assert is_chinese(f"{command.usage}"), command.phrases
            assert is_chinese(f"{command.summary}"), command.phrases


def test_one_agent_too_many_is_refused_with_the_numbers_that_me_tells(
    alice: User, say: Say, settings: Settings
) -> None:
    settings.AGENTS_PER_USER = 1
    User.objects.filter(pk=alice.pk).update(bonus_agents=1)
    say("agent add one")
    assert "Agents: 1/2 · of these for people you invited: 1" in say("me")
    say("agent add two")
    assert "You have 2 agents and may have 2." in say("agent add three")
    assert Agent.objects.filter(owner=alice).count() == 2
