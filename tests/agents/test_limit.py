"""The limit of agents for each user, also under concurrent calls."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import OperationalError, connection
from django.utils.translation import override
from pytest_django import Settings

from accounts.models import User
from accounts.quotas import usages
from agents.models import Agent
from agents.services.manage import create_agent, delete_agent
from agents.services.quota import agent_usage
from kernel.errors import AgentLimit
from tests.factories import make_agent, make_user


@pytest.fixture(autouse=True)
def _three_agents_in_english(settings: Settings) -> Iterator[None]:
    settings.AGENTS_PER_USER = 3
    with override("en"):
        yield


@pytest.mark.django_db
def test_a_deleted_agent_makes_room_and_people_one_brought_give_more() -> None:
    owner = make_user()
    agents = [make_agent(owner=owner, online=False) for _ in range(3)]
    with pytest.raises(AgentLimit, match="3 agents and may have 3"):
        make_agent(owner=owner)
    assert Agent.objects.count() == 3
    make_agent(owner=make_user())
    delete_agent(agent=agents[0], actor="test")
    make_agent(owner=owner)
    User.objects.filter(pk=owner.pk).update(bonus_agents=1)
    # The stored value counts, not the value that the caller read before.
    assert owner.bonus_agents == 0
    make_agent(owner=owner)
    owner.refresh_from_db()
    usage = agent_usage(owner)
    assert usage in usages(owner)
    assert usage is not None
    assert (usage.used, usage.limit, usage.bonus) == (4, 4, 1)
    with pytest.raises(AgentLimit, match="may have 4"):
        make_agent(owner=owner)


@pytest.mark.django_db
def test_the_way_out_is_named_where_there_is_one(settings: Settings) -> None:
    owner = make_user()
    for _ in range(3):
        make_agent(owner=owner, online=False)
    for kind, named in (("", False), ("service", True)):
        settings.WECHAT_KIND = kind
        with pytest.raises(AgentLimit) as refused:
            make_agent(owner=owner)
        assert ("poster" in refused.value.message, "Delete one" in refused.value.message) == (named, True)


@pytest.mark.django_db
def test_staff_and_those_of_a_server_without_a_limit_have_none(settings: Settings) -> None:
    boss, anybody = make_user(), make_user()
    User.objects.filter(pk=boss.pk).update(is_staff=True)
    for _ in range(4):
        make_agent(owner=boss, online=False)
    boss.refresh_from_db()
    assert agent_usage(boss) is None
    settings.AGENTS_PER_USER = 0
    for _ in range(4):
        make_agent(owner=anybody, online=False)
    assert agent_usage(anybody) is None


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_make_three() -> None:
    owner, together = make_user(), Barrier(8)

    def make(number: int) -> bool:
        together.wait(30)
        try:
            while True:
                try:
                    create_agent(owner=owner, name=f"agent-{number}", actor="test")
                except OperationalError:
                    continue  # the lock took too long, or two met: nothing was done
                except AgentLimit:
                    return False
                return True
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(make, range(8))) == 3
    assert Agent.objects.filter(owner=owner).count() == 3
