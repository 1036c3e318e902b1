"""The rules for names, as a table, and that one owner has each name once, over names and aliases."""

from __future__ import annotations

import pytest

from agents.models import Agent
from agents.names import checked_key
from agents.services.manage import AgentChange, create_agent, delete_agent, update_agent
from kernel.errors import InvalidRequest, NameTaken
from tests.factories import make_agent, make_user

_RESERVED = [
    "agent",
    "delay",
    "status",
    "help",
    "group",
    "plan",
    "poster",
    "link",
    "unlink",
    "follow",
    "unfollow",
    "sub",
    "unsub",
    "token",
    "帮助",
    "状态",
    "延迟",
    "绑定",
    "解绑",
    "login",
    "bind",
    "menu",
    "cancel",
    "取消",
    "me",
    "quota",
    "channel",
    "queue",
    "agents",
    "jobs",
    "job",
    "all",
]


@pytest.mark.parametrize(
    "name",
    ["bar", "b1", "服务器", "web-1.example.org", "a" * 50, "傻瓜", "x_y", "Ünïcödé", "🤖🤖", "100%", "<b>x</b>", "o'k"],
)
def test_name_is_allowed(name: str) -> None:
    assert checked_key(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "傻",
        "a" * 51,
        "two words",
        " bar",
        "bar ",
        "a\tb",
        "a\nb",
        "a\u3000b",
        "a\u00a0b",
        "a\u2028b",
        "a\u200bb",
        "a\u202eb",
        "a\x00b",
        "a\x1b[31mb",
        "a\ud800b",
        "\u200b\u200b",
        "00000000-0000-7000-8000-000000000000",
        "00000000-0000-7000-8000-00000000000A",
        "h",
        "?",
        "ﷺ" * 10,
        *_RESERVED,
        *(word.upper() for word in _RESERVED if word.isascii()),
        "ｈｅｌｐ",
        "ＳＴＡＴＵＳ",
        "ſtatus",
    ],
)
def test_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_key(name)


@pytest.mark.parametrize(("one", "other"), [("bar", "BAR"), ("bar", "ｂａｒ"), ("Straße", "STRASSE"), ("ﬁne", "fine")])
def test_names_that_look_alike_are_one_name(one: str, other: str) -> None:
    assert checked_key(one) == checked_key(other)


@pytest.mark.django_db
def test_owner_has_each_name_once_over_names_and_aliases() -> None:
    owner = make_user()
    create_agent(owner=owner, name="bar", alias="bee", actor="test")
    for name, alias in (("BAR", ""), ("bee", ""), ("other", "bar"), ("other", "BEE")):
        with pytest.raises(NameTaken):
            create_agent(owner=owner, name=name, alias=alias, actor="test")
    assert Agent.objects.count() == 1
    create_agent(owner=make_user(), name="bar", alias="bee", actor="test")


@pytest.mark.django_db
def test_name_and_alias_of_one_agent_may_be_one_word() -> None:
    agent, _token = create_agent(owner=make_user(), name="bar", alias="BAR", actor="test")
    assert agent.names.count() == 1


@pytest.mark.django_db
def test_name_is_free_again_after_a_rename_and_after_deletion() -> None:
    owner = make_user()
    agent = make_agent(owner=owner, name="bar")
    update_agent(agent=agent, change=AgentChange(name="foo"), actor="test")
    second = make_agent(owner=owner, name="bar")
    delete_agent(agent=second, actor="test", force=True)
    make_agent(owner=owner, name="bar")


@pytest.mark.django_db
def test_rename_to_a_taken_name_changes_nothing() -> None:
    owner = make_user()
    make_agent(owner=owner, name="bar")
    agent = make_agent(owner=owner, name="foo")
    with pytest.raises(NameTaken):
        update_agent(agent=agent, change=AgentChange(name="bar", remark="x"), actor="test")
    agent.refresh_from_db()
    assert (agent.name, agent.remark) == ("foo", "")
    assert agent.names.get().key == "foo"
