"""The audit trail: its digests are keyed, old ones stay valid, and its end is kept outside of the database."""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from accounts.services.audit import entry_digest, first_broken_entry, plain_digest, record_audit
from accounts.services.audit_head import keep_audit_head, kept_head
from kernel.clock import database_now

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _data(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def _record(count: int) -> None:
    for number in range(count):
        record_audit(actor="user:a", action="test", subject=f"s{number}", now=database_now(), details={"n": number})


def _rewrite_all(digest_of: Any) -> None:
    """Make the chain fit again, as one would who may write the database."""
    previous = "0" * 64
    for entry in AuditEntry.objects.order_by("sequence"):
        entry.previous_digest = previous
        previous = entry.digest = digest_of(entry)
        entry.save()


def test_chain_that_was_made_anew_without_the_key_is_found() -> None:
    _record(3)
    assert first_broken_entry() is None
    AuditEntry.objects.filter(sequence=2).update(actor="user:innocent")
    assert first_broken_entry() == 2
    second, third = AuditEntry.objects.filter(sequence__gte=2).order_by("sequence")
    second.digest = plain_digest(second)
    second.save()
    third.previous_digest = second.digest
    third.digest = plain_digest(third)
    third.save()
    assert first_broken_entry() == 2


def test_entries_from_before_the_key_stay_valid_and_new_ones_follow_them() -> None:
    _record(2)
    _rewrite_all(plain_digest)
    assert first_broken_entry() is None
    _record(2)
    assert first_broken_entry() is None
    last = AuditEntry.objects.get(sequence=4)
    assert last.digest == entry_digest(last) != plain_digest(last)


def test_another_secret_key_does_not_verify(settings: Any) -> None:
    _record(1)
    settings.SECRET_KEY = "another"
    assert first_broken_entry() == 1


def test_trail_whose_end_was_cut_off_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _record(3)
    with caplog.at_level(logging.INFO):
        assert keep_audit_head(now=database_now())
    assert [getattr(record, "entry", None) for record in caplog.records] == [3]
    assert stat.S_IMODE((tmp_path / "audit_heads").stat().st_mode) == 0o600
    AuditEntry.objects.filter(sequence=3).delete()
    assert first_broken_entry() is None, "a chain does not know its end"
    assert not keep_audit_head(now=database_now())
    with pytest.raises(CommandError, match="no longer has entry 3"):
        call_command("verify_audit")


def test_trail_that_was_made_anew_without_any_key_is_found() -> None:
    _record(2)
    keep_audit_head(now=database_now())
    _rewrite_all(plain_digest)
    assert first_broken_entry() is None
    with pytest.raises(CommandError, match="no longer has entry 2"):
        call_command("verify_audit")


def test_head_is_appended_only_when_the_trail_has_grown(tmp_path: Path) -> None:
    assert keep_audit_head(now=database_now())
    assert kept_head() is None
    _record(1)
    for _ in range(2):
        keep_audit_head(now=database_now())
    _record(1)
    keep_audit_head(now=database_now())
    lines = (tmp_path / "audit_heads").read_text(encoding="ascii").splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]


def test_command_says_how_many_entries_it_has_read(capsys: pytest.CaptureFixture[str]) -> None:
    _record(2)
    call_command("verify_audit")
    assert "2 entries, all as they were written" in capsys.readouterr().out
