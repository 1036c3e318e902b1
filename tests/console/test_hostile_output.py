"""S28: what agents and senders write reaches the page as text that can be seen, and as nothing else."""

from __future__ import annotations

import html
import itertools
import re

import pytest
from django.test import Client

from accounts.models import User
from agents.models import Agent
from jobs.console.presentation import curl_command
from jobs.life.report import ReportKind
from jobs.life.submit import order_again
from jobs.models import Job
from kernel.visible import visible_line, visible_text
from tests.console.hostile import CORPUS, HIDDEN
from tests.console.pages import assert_sound, text_of
from tests.factories import claim, make_agent, make_job, report

_BEGINS = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")
"""ESC, and what begins a control sequence or string by itself."""

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]


def _job_with(agent: Agent, text: str) -> Job:
    job = make_job(agent, text[:4000])
    claim(agent)
    report(agent, job, ReportKind.RUNNING, text[:1000])
    report(agent, job, ReportKind.SUCCEED, text)
    return job


def _assert_shown_as_text(page: str, text: str) -> None:
    assert html.escape(visible_text(text)) in page
    assert not any(sign in page for sign in HIDDEN)


def test_the_corpus_is_large_enough() -> None:
    assert len(set(CORPUS)) == len(CORPUS) >= 200


def _outputs() -> list[list[str]]:
    """The corpus as outputs: a text that can begin a sequence, and so swallow the next text, gets its own output;
    others go by tens.
    """
    alone = [text for text in CORPUS if _BEGINS.search(text) or len(text) > 300]
    rest = [text for text in CORPUS if text not in alone]
    return [[text] for text in alone] + [rest[start : start + 10] for start in range(0, len(rest), 10)]


def test_every_text_of_the_corpus_is_shown_escaped_on_the_page_of_its_job(alice: User, at_alice: Client) -> None:
    agent = make_agent(owner=alice)
    assert sorted(itertools.chain(*_outputs())) == sorted(CORPUS)
    for texts in _outputs():
        output = "\n".join(texts)
        assert visible_text(output) == "\n".join(map(visible_text, texts))
        job = _job_with(agent, output)
        response = at_alice.get(f"/console/jobs/{job.pk}")
        assert response.status_code == 200
        assert_sound(response)
        _assert_shown_as_text(text_of(response), output)


def test_lists_show_hostile_messages_on_one_line(alice: User, at_alice: Client) -> None:
    agent = make_agent(owner=alice)
    for start in range(0, len(CORPUS), 25):
        for text in CORPUS[start : start + 25]:
            make_job(agent, text[:4000])
        for path in ("/console/jobs", f"/console/agents/{agent.pk}", "/console/"):
            response = at_alice.get(path)
            assert_sound(response)
            assert not any(sign in text_of(response) for sign in HIDDEN)


def test_the_admin_shows_hostile_texts_escaped(alice: User, at_bob: Client) -> None:
    """All outputs with ten texts and every sixth of the others are shown."""
    agent = make_agent(owner=alice)
    outputs = sorted(_outputs(), key=len)
    alone = [texts for texts in outputs if len(texts) == 1]
    for texts in [*outputs[len(alone) :], *alone[::6]]:
        job = _job_with(agent, "\n".join(texts))
        for path in (f"/admin/jobs/job/{job.pk}/change/", f"/admin/jobs/joboutput/{job.pk}/change/"):
            response = at_bob.get(path)
            assert response.status_code == 200
            assert_sound(response)
            assert not any(sign in text_of(response) for sign in HIDDEN)


def test_an_agent_s_version_and_names_cannot_hide_anything(alice: User, at_alice: Client) -> None:
    """All texts at once in the list of agents; on the page of one agent every tenth."""
    agents = [make_agent(owner=alice, name=f"agent-{number}") for number in range(len(CORPUS))]
    versions = [f"v{number} {text}"[:64] for number, text in enumerate(CORPUS)]
    for agent, version, text in zip(agents, versions, CORPUS, strict=True):
        Agent.objects.filter(pk=agent.pk).update(version=version, remark=text[:250])
    pages = [("/console/agents", versions)]
    pages += [(f"/console/agents/{agents[at].pk}", versions[at : at + 1]) for at in range(0, len(CORPUS), 10)]
    for path, shown in pages:
        response = at_alice.get(path)
        assert_sound(response)
        for version in shown:
            assert html.escape(visible_line(version)) in text_of(response)


def test_the_download_is_a_plain_attachment(alice: User, at_alice: Client) -> None:
    job = _job_with(make_agent(owner=alice), "<script>alert(1)</script>\x1b[31m\u202e")
    response = at_alice.get(f"/console/jobs/{job.pk}/output.txt")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="job-{job.pk}.txt"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert text_of(response) == "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.mark.parametrize("text", CORPUS)
def test_visible_text_holds_no_hidden_character_and_is_stable(text: str) -> None:
    shown = visible_text(text)
    assert not any(sign in shown for sign in HIDDEN)
    assert visible_text(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil.example\x07link\x1b]8;;\x07", "link"),
        ("a\x00b\x07", "a␀b␇"),
        ("safe\u202egpj.exe", "safe⟨U+202E⟩gpj.exe"),
        ("傻瓜 👩\u200d💻 é", "傻瓜 👩\u200d💻 é"),
        ("bell\x7f", "bell␡"),
    ],
)
def test_visible_text_keeps_what_is_harmless(text: str, shown: str) -> None:
    assert visible_text(text) == shown


def test_curl_is_one_command_whatever_the_message_holds(alice: User) -> None:
    agent = make_agent(owner=alice, name="box")
    for text in CORPUS:
        job = make_job(agent, text[:4000])
        command = curl_command(job, order_again(job, now=job.created_at))
        assert not any(sign in command for sign in HIDDEN)
        body = re.search(r"-d '(.*)'$", command, re.DOTALL)
        assert body is not None
        assert "'" not in body[1].replace("'\"'\"'", "")
