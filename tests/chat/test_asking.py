"""A dangerous entry of an agent's file needs a yes in the chat. The yes sends the job again, marked as confirmed."""

from __future__ import annotations

import pytest

from accounts.credentials import Principal
from accounts.models import ChatIdentity, User
from accounts.services.identities import ChatAddress, bind_identity
from accounts.tokens import TokenKind
from agents.models import Agent
from jobs.api.reading import read_submission
from jobs.gateway.agent_calls import agent_job_json
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.models import Job
from jobs.transitions import Output
from kernel.errors import InvalidRequest
from notifications.channels.identity import ensure_identity_channel
from notifications.models import Message
from tests.chat.conftest import Say
from tests.factories import claim, make_agent, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def nas(alice: User) -> Agent:
    """An agent whose file marks an entry with `confirm`."""
    return make_agent(owner=alice, name="nas")


@pytest.fixture
def at_wechat(alice: User) -> dict[str, str]:
    """The chat of alice."""
    address = ChatAddress(platform="wechat", account="wx", external_id="oAlice")
    identity: ChatIdentity = bind_identity(address, owner=alice)
    ensure_identity_channel(identity)
    return {"platform": "wechat", "identity_id": identity.pk}


def _refuses(agent: Agent) -> Job:
    """Let the agent take a job and say that it must be confirmed."""
    job = claim(agent)
    assert job is not None
    output = Output(text="restart must be confirmed first, nothing has run", reason="confirm")
    (outcome,) = report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.FAIL, output=output)])
    assert outcome is None
    return job


def test_a_yes_sends_the_same_text_marked(nas: Agent, at_wechat: dict[str, str], say: Say) -> None:
    say("nas restart   api", **at_wechat)
    refused = _refuses(nas)
    assert refused.params is None
    assert "❓" in Message.objects.get().text
    assert "🕘" in say("yes", **at_wechat)
    job = claim(nas)
    assert job is not None
    assert (job.message, job.params) == ("restart   api", {"confirmed": True})
    assert agent_job_json(job, 2)["params"] == {"confirmed": True}  # type: ignore[typeddict-item]
    assert "params" not in agent_job_json(job, 1)
    assert "nothing to confirm" in say("yes", **at_wechat)


def test_a_no_sends_nothing(nas: Agent, at_wechat: dict[str, str], say: Say) -> None:
    say("nas restart", **at_wechat)
    _refuses(nas)
    say("no", **at_wechat)
    assert "nothing to confirm" in say("yes", **at_wechat)
    assert Job.objects.count() == 1


def test_only_the_place_that_sent_it_is_asked(nas: Agent, at_wechat: dict[str, str], say: Say) -> None:
    say("nas restart", **at_wechat)
    _refuses(nas)
    assert "nothing to confirm" in say("yes")
    say("nas restart")
    _refuses(nas)
    assert "🕘" in say("yes")


def test_a_job_of_the_api_asks_nobody(nas: Agent, at_wechat: dict[str, str], say: Say) -> None:
    make_job(nas, "restart", source="api")
    _refuses(nas)
    assert "nothing to confirm" in say("yes")
    assert "nothing to confirm" in say("yes", **at_wechat)


def test_the_api_cannot_say_that_a_job_came_from_a_chat(alice: User) -> None:
    caller = Principal(kind=TokenKind.USER, owner_id=alice.pk, digest="", scope="jobs")
    with pytest.raises(InvalidRequest):
        read_submission(
            {"agent": "nas", "message": "wipe", "source": "chat:console"}, principal=caller, idempotency_key=None
        )
