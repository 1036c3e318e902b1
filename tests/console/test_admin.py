"""The admin: every model is there, opens with data, and changes nothing that services rule."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import CharField, Field, Model, TextField
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from accounts.models import AuditEntry, ChatIdentity, QuotaUse, User, UserToken
from accounts.services.tokens import mint_user_token
from agents.models import Agent, AgentTag, AgentToken
from chat.models import InboundMessage, Invitation, OneTimeCode, Question, WrongCodes
from jobs.life.report import ReportKind
from jobs.life.upkeep import beat_gateway_clock
from jobs.models import (
    CalendarDay,
    DelayedJob,
    DueEvaluation,
    Job,
    JobLogChunk,
    JobOutput,
    Outcome,
    ProcessClock,
    Queue,
    Schedule,
    ScheduleRun,
    StateEntry,
    Ticker,
    WatchMemory,
    WorkCalendar,
)
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.ids import new_id
from letserver.staff import StaffSite
from notifications.channels.service import create_channel
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.models import Channel, Delivery, DeliveryState, PaceMeter, ShutTarget, SigningSecret
from notifications.quota.chat_credit import open_credit
from tests.console.pages import assert_sound, text_of
from tests.factories import claim, make_agent, make_job, make_user, report

pytestmark = pytest.mark.django_db

OURS = ("accounts", "agents", "notifications", "jobs")
CHANGED_HERE = {User, Agent}
WRITTEN_HERE = {WorkCalendar, CalendarDay}


@pytest.fixture
def rows(alice: User) -> None:
    """At least one row in every table that the admin shows."""
    now = database_now()
    agent = make_agent(owner=alice, name="box")
    job = make_job(agent)
    claim(agent)
    report(agent, job, ReportKind.SUCCEED, "now")
    JobLogChunk.objects.create(job=job, offset=0, size_bytes=3, text="now", created_at=now)
    mint_user_token(user=alice, scope="full", actor="test")
    queue = Queue.objects.create(owner=alice, name="line", created_at=now, updated_at=now)
    AgentTag.objects.create(agent=agent, tag="nas")
    Ticker.objects.create(held_at=now)
    ProcessClock.objects.create(name="beat@one", host="one", skew_seconds=-4.0, measured_at=now, over_since=now)
    DelayedJob.objects.create(
        owner=alice, queue=queue, message="later", actor="test", due_at=now, created_at=now, updated_at=now
    )
    calendar = WorkCalendar.objects.create(code="test", name="China", known_until=now.date())
    CalendarDay.objects.create(calendar=calendar, day=now.date())
    schedule = Schedule.objects.create(
        owner=alice, name="nightly", agent=agent, message="x", actor="test", cron="0 3 * * *", timezone="UTC",
        calendar=calendar, created_at=now, updated_at=now,
    )  # fmt: skip
    ScheduleRun.objects.create(schedule=schedule, due_at=now, outcome=Outcome.MISSED, created_at=now)
    StateEntry.objects.create(owner=alice, name="last", content=b"1", version=1, created_at=now, updated_at=now)
    DueEvaluation.objects.create(owner=alice, job=job, number=9, after="succeeded", ended_at=now, failed_at=now)
    WatchMemory.objects.create(owner=alice, subject="job:x", content={}, updated_at=now)
    QuotaUse.objects.create(owner=alice, kind="jobs", window_start=now, used=1, limit=2)
    Delivery.objects.create(
        owner=alice,
        kind="callback",
        subject=f"job:{job.pk}",
        target="x",
        dedupe_key="x",
        payload={},
        due_at=now,
        created_at=now,
    )
    SigningSecret.objects.create(owner=alice, sealed="SEALED-VALUE", changed_at=now)
    ShutTarget.objects.create(owner=alice, digest="x", shut_at=now)
    _add_a_message(alice, now)
    _add_a_chat(alice, now)
    beat_gateway_clock()
    Group.objects.create(name="people")
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        more = {"failures_since_start": 1} if model is AccessAttempt else {}
        model.objects.create(username="alice", ip_address="192.0.2.1", user_agent="x", path_info="/", **more)
    interval = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.SECONDS)
    CrontabSchedule.objects.create(minute="5")
    ClockedSchedule.objects.create(clocked_time=now)
    SolarSchedule.objects.create(event="sunset", latitude=31, longitude=121)
    PeriodicTask.objects.create(name="look", task="jobs.sweep_overdue", interval=interval)


def _add_a_message(owner: User, now: dt.datetime) -> None:
    """Messages and settings hold words that no page for staff may show."""
    channel = create_channel(
        owner_id=owner.pk, name="robot", driver="wecom_robot", settings={"key": "PRIVATE-KEY"}, levels=[], actor="test"
    )
    Channel.objects.filter(pk=channel.pk).update(address="PRIVATE-ADDRESS")
    new_message = NewMessage(
        owner_id=owner.pk,
        text="PRIVATE-TEXT",
        title="PRIVATE-TITLE",
        url="https://example.com/PRIVATE-URL",
        mentions=("PRIVATE-NAME",),
        channels=("robot",),
        actions=(ActionRequest(label="PRIVATE-LABEL", agent="PRIVATE-AGENT", text="PRIVATE-JOB"),),
    )
    accept_messages([new_message], now=now)
    Delivery.objects.update(payload={"text": "PRIVATE-PAYLOAD"})
    open_credit(owner_id=owner.pk, account="wx", address="PRIVATE-ADDRESS", now=now)
    PaceMeter.objects.create(key="wecom_robot:0", times=[now.timestamp()])


def _add_a_chat(owner: User, now: dt.datetime) -> None:
    """A person talks to the product on a chat platform."""
    identity = ChatIdentity.objects.create(
        owner=owner, platform="telegram", account="bot", external_id="42", display="Alice", bound_at=now
    )
    InboundMessage.objects.create(digest="x", platform="telegram", identity=identity, came_at=now)
    OneTimeCode.objects.create(kind="bind", digest="x", owner=owner, created_at=now, expires_at=now)
    Question.objects.create(place="telegram:42", owner=owner, sealed_line="x", expires_at=now)
    WrongCodes.objects.create(place="telegram:42", since=now, count=1)
    Invitation.objects.create(inviter=owner, invited=make_user("diana"), at=now)


def _registered() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def test_the_site_is_ours_and_knows_every_model() -> None:
    assert isinstance(admin.site, StaffSite) or isinstance(admin.site._wrapped, StaffSite)  # type: ignore[attr-defined]
    expected = {model for app in OURS for model in apps.get_app_config(app).get_models()}
    expected |= set(apps.get_app_config("django_celery_beat").get_models()) - {PeriodicTasks}
    expected |= {AccessAttempt, AccessFailureLog}
    assert expected <= set(_registered())


@pytest.mark.sqlite_only  # once: what is drawn does not depend on the database
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_list_and_every_row_opens(language: str, rows: None, at_bob: Client) -> None:
    for model in _registered():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        assert row is not None, model
        for address in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])):
            response = at_bob.get(address, headers={"Accept-Language": language})
            assert response.status_code == 200, address
            assert_sound(response)


@pytest.mark.sqlite_only  # once: what is drawn does not depend on the database
def test_every_list_can_be_searched(rows: None, at_bob: Client) -> None:
    for model in _registered():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        # A pop-up is the same list without the index of all models beside it.
        assert at_bob.get(address, {"q": "alice", "_popup": "1"}).status_code == 200


def test_no_list_asks_the_database_for_calendar_dates() -> None:
    """MySQL without time zone tables answers them with an error or, worse, with nothing."""
    assert [model for model, site in admin.site._registry.items() if site.date_hierarchy] == []


@pytest.mark.sqlite_only  # once: what is drawn does not depend on the database
def test_every_filter_of_a_list_works(rows: None, at_bob: Client) -> None:
    for model in _registered():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        response = at_bob.get(address, {"_popup": "1"})
        for wanted in response.context["cl"].filter_specs:
            for choice in wanted.choices(response.context["cl"]):
                assert at_bob.get(address + choice.get("query_string", "?")).status_code == 200


def test_rows_of_the_services_cannot_be_added_changed_or_deleted(rows: None, at_bob: Client) -> None:
    ours = {model for app in OURS for model in apps.get_app_config(app).get_models()}
    for model in ours - WRITTEN_HERE:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        assert row is not None
        assert at_bob.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert "delete_selected" not in text_of(at_bob.get(reverse(f"{name}_changelist")))
        if model not in CHANGED_HERE:
            assert at_bob.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
        if model is not User:
            assert at_bob.get(reverse(f"{name}_add")).status_code == 403


def test_what_was_given_up_is_sent_again_by_an_action(rows: None, at_bob: Client) -> None:
    delivery = Delivery.objects.get(kind="callback")
    Delivery.objects.update(state=DeliveryState.DEAD, tries=10, ended_at=database_now())
    asked = {"action": "replay", "_selected_action": [delivery.pk]}
    answer = at_bob.post(reverse("admin:notifications_delivery_changelist"), asked, follow=True)
    assert "1 delivery is sent again." in text_of(answer)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries) == (DeliveryState.PENDING, 0)


def test_no_page_shows_a_digest_or_a_sealed_token(rows: None, at_bob: Client) -> None:
    UserToken.objects.update(sealed="SEALED-VALUE")
    secrets = [
        *UserToken.objects.values_list("digest", flat=True),
        *AgentToken.objects.values_list("digest", flat=True),
    ]
    for model in (UserToken, AgentToken):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.get()
        for address in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])):
            page = text_of(at_bob.get(address))
            assert not any(secret in page for secret in (*secrets, "SEALED-VALUE"))


def test_staff_do_not_read_messages_nor_what_channels_were_told(rows: None, at_bob: Client) -> None:
    for model in apps.get_app_config("notifications").get_models():
        name = f"admin:notifications_{model._meta.model_name}"
        for row in model._default_manager.all():
            for address in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])):
                assert "PRIVATE" not in text_of(at_bob.get(address)), address


def test_freezing_and_thawing_go_through_the_service(alice: User, bob: User, at_bob: Client) -> None:
    job = make_job(make_agent(owner=alice))
    chosen = {"_selected_action": [alice.pk, bob.pk]}
    at_bob.post("/admin/accounts/user/", {"action": "freeze", **chosen})
    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.is_active, bob.is_active) == (False, True)
    assert Job.objects.get(pk=job.pk).status == JobStatus.CANCELED
    at_bob.post("/admin/accounts/user/", {"action": "thaw", **chosen})
    alice.refresh_from_db()
    assert alice.is_active
    actions = AuditEntry.objects.filter(subject=f"user:{alice.pk}", actor=f"user:{bob.pk}").order_by("sequence")
    assert list(actions.values_list("action", flat=True)) == ["user.freeze", "user.thaw"]


def test_agents_are_enabled_and_disabled_through_the_service(alice: User, at_bob: Client) -> None:
    agent = make_agent(owner=alice)
    job = make_job(agent)
    at_bob.post("/admin/agents/agent/", {"action": "disable", "_selected_action": [agent.pk]})
    assert not Agent.objects.get(pk=agent.pk).enabled
    assert Job.objects.get(pk=job.pk).status == JobStatus.CANCELED
    at_bob.post("/admin/agents/agent/", {"action": "enable", "_selected_action": [agent.pk]})
    assert Agent.objects.get(pk=agent.pk).enabled


def test_only_the_remark_and_the_power_of_an_agent_are_changed(alice: User, at_bob: Client) -> None:
    agent = make_agent(owner=alice, name="box")
    values = {"remark": "ask Lin", "acts_for_owner": "on", "name": "other", "enabled": "", "owner": "x"}
    assert at_bob.post(f"/admin/agents/agent/{agent.pk}/change/", values).status_code == 302
    agent.refresh_from_db()
    assert (agent.remark, agent.name, agent.enabled) == ("ask Lin", "box", True)
    assert agent.acts_for_owner


def test_a_changed_user_is_noted_with_the_names_of_the_fields(alice: User, bob: User, at_bob: Client) -> None:
    values = {"username": "alice", "email": "alice@example.com", "is_staff": "on", "is_active": "", "bonus_agents": "5"}
    response = at_bob.post(f"/admin/accounts/user/{alice.pk}/change/", values)
    assert response.status_code == 302, response.context["adminform"].form.errors
    alice.refresh_from_db()
    assert (alice.email, alice.is_staff, alice.is_active) == ("alice@example.com", True, True)
    entry = AuditEntry.objects.get(action="user.change")
    assert (entry.actor, entry.subject) == (f"user:{bob.pk}", f"user:{alice.pk}")
    assert set(entry.details["fields"]) == {"email", "is_staff", "bonus_agents"}


def test_staff_without_all_rights_cannot_raise_themselves(alice: User, bob: User, charlie: User) -> None:
    from django.contrib.auth.models import Permission

    charlie.is_staff = True
    charlie.save(update_fields=["is_staff"])
    charlie.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client = Client()
    client.force_login(charlie)
    values = {"username": "charlie", "is_superuser": "on", "is_staff": "on", "bonus_agents": "0"}
    client.post(f"/admin/accounts/user/{charlie.pk}/change/", values)
    assert not User.objects.get(pk=charlie.pk).is_superuser
    assert client.post(f"/admin/accounts/user/{bob.pk}/password/", {}).status_code == 403
    client.post("/admin/accounts/user/", {"action": "freeze", "_selected_action": [bob.pk, alice.pk]})
    assert User.objects.get(pk=bob.pk).is_active
    assert not User.objects.get(pk=alice.pk).is_active


def test_people_who_are_no_staff_stay_outside(at_alice: Client, at_nobody: Client) -> None:
    assert at_nobody.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/console/login?next=")
    response = at_alice.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "belongs to the staff" in text_of(response)


def test_leaving_the_admin_ends_the_session(at_bob: Client) -> None:
    assert at_bob.get("/admin/logout/").headers["Location"] == "/admin/"
    assert at_bob.get("/admin/").status_code == 200
    assert at_bob.post("/admin/logout/").headers["Location"] == "/console/login"
    assert at_bob.get("/admin/").status_code == 302


def test_a_row_of_another_time_opens_too(alice: User, at_bob: Client) -> None:
    """A job that never met its agent, an output that is empty."""
    job = make_job(make_agent(owner=alice))
    JobOutput.objects.create(job=job, size_bytes=0, created_at=database_now() - dt.timedelta(days=400))
    assert at_bob.get(f"/admin/jobs/joboutput/{job.pk}/change/").status_code == 200
    assert at_bob.get(f"/admin/jobs/job/{new_id()}/change/").status_code == 302


def test_no_admin_page_shows_a_direction_or_hidden_character_raw(rows: None, at_bob: Client) -> None:
    """A name of a job, an agent or a platform could otherwise be read backwards in a list."""
    planted = "a\u202egpj.exe\u2066\u200bb"
    filled = set()
    for model, pages in admin.site._registry.items():
        texts = {field.name: planted for field in model._meta.concrete_fields if _takes(field, pages)}
        if model._meta.app_label in OURS and texts:
            row = model._default_manager.first()
            assert row is not None, model
            model._default_manager.filter(pk=row.pk).update(**texts)
            filled.add(model)
    assert {Job, Agent, JobOutput, ChatIdentity, Schedule} <= filled
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        for url in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk if row else 0])):
            page = at_bob.get(url).content.decode()
            shown = re.sub(r"<input\b[^>]*>|<textarea\b.*?</textarea>", "", page, flags=re.DOTALL)
            assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", shown), url


def _takes(field: Field[Any, Any], pages: admin.ModelAdmin[Any]) -> bool:
    """Tell whether the field holds free text that a page shows."""
    long_enough = isinstance(field, TextField) or (field.max_length or 0) >= 16
    free = isinstance(field, CharField | TextField) and long_enough and not (field.unique or field.choices)
    return free and field.name in {*pages.get_list_display(HttpRequest()), "message", "text", "remark", "display"}
