"""One agent or many are found by one rule: id, name or alias of a present agent of that owner."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.translation import override

from agents.models import Agent
from agents.services.find import LONGEST_CALL, find_agent, find_agents, find_usable_agent, is_usable, why_unusable
from agents.services.manage import AgentChange, create_agent, delete_agent, update_agent
from kernel.errors import AgentNotFound, InvalidAgent
from kernel.ids import new_id
from tests.factories import make_agent, make_user

pytestmark = pytest.mark.django_db


def test_one_and_many_find_the_same_agents() -> None:
    owner, stranger = make_user(), make_user()
    agent, _token = create_agent(owner=owner, name="Nas", alias="仓库", actor="test")
    theirs = make_agent(owner=stranger, name="web")
    calls = {
        agent.pk: agent,
        "nas": agent,
        "ＮＡＳ": agent,
        "仓库": agent,
        "nas ": None,
        "web": None,
        theirs.pk: None,
        new_id(): None,
        "": None,
        "x" * (LONGEST_CALL + 1): None,
    }
    many = find_agents((owner.pk, called) for called in calls)
    for called, expected in calls.items():
        assert many.get((owner.pk, called)) == expected, called
        if expected is None:
            with pytest.raises(AgentNotFound):
                find_agent(viewer=owner, called=called)
        else:
            assert find_agent(viewer=owner, called=called) == expected, called


def test_many_owners_each_find_their_own_agent_of_one_name() -> None:
    agents = [make_agent(name="nas"), make_agent(name="nas")]
    found = find_agents((agent.owner_id, "nas") for agent in agents)
    assert [found[agent.owner_id, "nas"] for agent in agents] == agents


def test_deleted_agent_is_found_by_nothing() -> None:
    agent = make_agent(name="nas")
    delete_agent(agent=agent, actor="test", force=True)
    assert find_agents([(agent.owner_id, "nas"), (agent.owner_id, agent.pk)]) == {}


@pytest.mark.parametrize(("calls", "queries"), [([], 0), (["nas", "web"], 1), (["id"], 1), (["nas", "id"], 2)])
def test_many_agents_cost_at_most_two_queries(calls: list[str], queries: int, django_assert_num_queries: Any) -> None:
    agent = make_agent(name="nas")
    wanted = [(agent.owner_id, agent.pk if called == "id" else called) for called in calls]
    with django_assert_num_queries(queries):
        find_agents(wanted)


def test_disabled_agent_is_found_and_unusable() -> None:
    owner = make_user()
    agent = make_agent(owner=owner, name="nas")
    assert find_usable_agent(viewer=owner, called="nas") == agent
    agent = update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    assert find_agents([(owner.pk, "nas")]) == {(owner.pk, "nas"): agent}
    assert not is_usable(agent)
    assert not Agent.objects.usable().exists()
    with override("en"), pytest.raises(InvalidAgent, match="nas is disabled"):
        find_usable_agent(viewer=owner, called="nas")


def test_offline_agent_is_unusable_only_for_a_job_that_cannot_wait() -> None:
    owner = make_user()
    agent = make_agent(owner=owner, name="nas", online=False)
    assert is_usable(agent)
    assert why_unusable(agent) is None
    assert Agent.objects.usable().get() == agent
    with override("en"), pytest.raises(InvalidAgent, match="nas is offline"):
        find_usable_agent(viewer=owner, called="nas", must_be_online=True)
