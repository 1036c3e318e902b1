"""An order is one value: through JSON, columns and digests it stays what it is."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.state import ProjectState
from django.test.utils import CaptureQueriesContext

from accounts.credentials import Principal, TokenKind
from jobs.api.order import OptionsSerializer, OrderSerializer
from jobs.api.reading import read_submission
from jobs.delayed.wire import read_new
from jobs.life.submit import submit_jobs
from jobs.models import DelayedJob, Job, Schedule
from jobs.old_digests import old_submission_digest
from jobs.order import Follower, JobOrder
from kernel.columns import AddColumn
from kernel.http.bodies import check_of
from tests.factories import make_agent, order

_PRINCIPAL = Principal(kind=TokenKind.USER, owner_id="u", digest="", scope="jobs")
_LATER = JobOrder(queue="q", message="ls 'a b'", argv=("ls", "a b"), priority=3, ttl_seconds=60)
_WHOLE = JobOrder(
    agent="box",
    message="date",
    params={"task_id": "own"},
    task="tidy",
    source="shop",
    callback="disable",
    priority=-1,
    distinct_key="d",
    rate_key="r",
    retries=2,
    backoff={"base": 5, "factor": 2, "limit": 60},
    idempotent=True,
    then=(Follower(on="success", order=_LATER), Follower(on="failure", order=JobOrder(agent="b", message="x"))),
    notify={"when": "failure"},
    wait_until=dt.datetime(2030, 1, 31, tzinfo=dt.UTC),
)


def test_order_survives_its_json_and_its_columns() -> None:
    for one in (_WHOLE, _LATER, JobOrder(agent="box", message="x")):
        # The server's own parameters are not options, because bodies cannot set them.
        assert JobOrder.from_body(one.body) == JobOrder(**_values(one) | {"params": {}})
        kept = _values(one) | {"agent": "", "queue": ""}
        assert _values(JobOrder.of(Job(**one.columns))) == kept
        assert _values(JobOrder.of(DelayedJob(**one.columns))) == kept


def _values(one: JobOrder) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def test_every_option_has_a_field_a_column_and_a_place_in_answers() -> None:
    described = {field.source or name for name, field in OrderSerializer._declared_fields.items()}
    assert described == {field.name for field in fields(JobOrder)} - {"params"}
    for model in (Job, DelayedJob, Schedule):
        columns = {field.name for field in model._meta.get_fields()}
        assert _WHOLE.columns.keys() - columns == ({"expires_at"} if model is Schedule else set())
    assert set(OptionsSerializer._declared_fields) == set(_WHOLE.options)
    assert _WHOLE.body.keys() - {"agent"} <= set(_WHOLE.options)


def test_then_that_an_older_server_stored_is_read() -> None:
    old = [{"on": "failure", "agent": "box", "message": "m", "then": [{"on": "success", "agent": "b", "message": "n"}]}]
    (follower,) = JobOrder.of(Job(message="x", then=old)).then
    assert (follower.on, follower.order.agent, follower.order.message) == ("failure", "box", "m")
    assert follower.order.then == (Follower(on="success", order=JobOrder(agent="b", message="n")),)
    assert JobOrder.of(Job(message="x", then=old)).columns["then"] == old


# The digests that the previous version stored for these bodies.
_OLD_DIGESTS: list[tuple[dict[str, Any], str]] = [
    ({"agent": "box", "message": "date"}, "4687e4d1f071c6b6d60264d38aa7d48e2edb3beeea31d0a69998005a65ac670f"),
    (
        {"agent": "box", "argv": ["date", "-u"], "ttl": 60, "callback": "disable", "source": "ci"},
        "04e490b8ec7471e0ae2d6d0a4aee4ba56a6b0329f5f692af0adaf70da3a59859",
    ),
    (
        {"agent": "box", "message": "date", "wait_until": "2030-01-31T08:00:00+08:00"},
        "a1c9436a3f1966ad442df5324509a54c0355d62f6f5a209f09649b8ea7138cfe",
    ),
    (
        {
            "queue": "q", "message": "x", "task": "t", "priority": 5, "distinct_key": "d", "rate_key": "r", "retry": 2,
            "backoff": {"base": 5}, "idempotent": True, "notify": {"when": "failure"},
            "then": [{
                "on": "failure", "agent": "box", "message": "m",
                "then": [{"on": "success", "agent": "b", "message": "n"}],
            }],
        },
        "05e2a4ee6ce7f93b67a4cdef6623481ed04c43833e588295eca2ab582e2d514e",
    ),
]  # fmt: skip
_OLD_DELAYED_DIGESTS: list[tuple[dict[str, Any], str]] = [
    (
        {"agent": "box", "message": "date", "delay": "15d", "key": "order-17"},
        "bc9b6485f89ea4ea15edb2b2d8adf044a758504196f13ff08c16e89ebaa20d88",
    ),
    (
        {
            "queue": "q", "argv": ["date", "-u"], "run_at": "2030-01-31T08:00:00+08:00", "if_exists": "replace",
            "priority": 5, "distinct_key": "d", "retry": 1, "backoff": [5],
            "then": [{"on": "success", "agent": "box", "message": "m"}],
        },
        "9e46e86867d1451cdbb39741f8e035826180216bccb10684412d7db987cda4ee",
    ),
    (
        {"url": "https://shop.example/x", "message": "1", "delay": "1h"},
        "cd0edff6b77ab748d81d546bcc8a0febf1c501d5cda6d92e3daf8b7f9953f710",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "digest"), _OLD_DIGESTS)
def test_old_digest_of_a_job_still_matches(body: dict[str, Any], digest: str) -> None:
    read = read_submission(body, principal=_PRINCIPAL, idempotency_key="k").order
    assert old_submission_digest(read) == digest
    assert read.digest() != digest


@pytest.mark.parametrize(("body", "digest"), _OLD_DELAYED_DIGESTS)
def test_old_digest_of_a_delayed_job_still_matches(body: dict[str, Any], digest: str) -> None:
    new = read_new(body, principal=_PRINCIPAL, idempotency_key="k")
    assert new.has_digest(digest)
    assert new.has_digest(new.request_digest)
    assert not read_new(body | {"task": "t"} if "url" not in body else body | {"message": "2"}, principal=_PRINCIPAL,
                        idempotency_key="k").has_digest(digest)  # fmt: skip


@pytest.mark.django_db
def test_key_that_an_older_server_stored_finds_its_job() -> None:
    agent = make_agent()
    body = {"agent": agent.pk, "message": "date"}
    caller = Principal(kind=TokenKind.USER, owner_id=agent.owner_id, digest="", scope="jobs")
    (made,) = submit_jobs([read_submission(body, principal=caller, idempotency_key="k")])
    assert isinstance(made, Job)
    Job.objects.update(request_digest=old_submission_digest(order("date", agent=agent.pk, source="api")))
    assert submit_jobs([read_submission(body, principal=caller, idempotency_key="k")]) == [made]
    (other,) = submit_jobs([read_submission(body | {"retry": 1}, principal=caller, idempotency_key="k")])
    assert getattr(other, "code", "") == "IdempotencyMismatch"


def test_a_field_type_without_a_check_is_reported_at_once() -> None:
    class Strange:
        pass

    with pytest.raises(TypeError, match="no check for Strange"):
        check_of(Strange())


@pytest.mark.django_db(transaction=True)
def test_a_column_that_is_there_is_not_added_again() -> None:
    state = ProjectState.from_apps(apps)
    again = AddColumn("job", "distinct_key", Job._meta.get_field("distinct_key").clone())
    with CaptureQueriesContext(connection) as captured:
        again.database_forwards("jobs", connection.schema_editor(), state, state)
    assert not [query for query in captured if query["sql"].lstrip().startswith(("ALTER", "CREATE"))]
