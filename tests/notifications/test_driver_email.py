"""E-mail: what is handed to the mail server, and what its refusals mean."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core import mail

from notifications.drivers.base import ChannelError, Fault
from notifications.drivers.parcel import Parcel
from notifications.drivers.registry import driver_of

pytestmark = pytest.mark.sqlite_only

EMAIL = driver_of("email")
TO = {"to": "alice@example.com"}


def _parcel(**more: Any) -> Parcel:
    values = {"delivery_id": "d1", "title": "备份", "text": "磁盘满了", "at": dt.datetime.now(dt.UTC), **more}
    return Parcel(**values)


@pytest.fixture
def mail_server(settings: Any) -> Iterator[Callable[..., None]]:
    """Make a mail server that says what a test wants at one step of the conversation."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings.EMAIL_URL = "smtp://127.0.0.1"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = listener.getsockname()
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""

    def serve(at: str, says: str) -> None:
        with suppress(OSError):
            line, _address = listener.accept()
            with line, line.makefile("rb") as words:
                line.sendall(b"220 hi\r\n")
                for word in words:
                    verb = word[:4].decode().upper().strip()
                    if verb == at:
                        line.sendall(says.encode())
                        if not says:
                            return
                    else:
                        line.sendall(b"354 go on\r\n" if verb == "DATA" else b"250 ok\r\n")

    def make(at: str, says: str) -> None:
        threading.Thread(target=serve, args=(at, says), daemon=True).start()

    yield make
    listener.close()


def test_mail_has_a_subject_of_one_line_and_the_same_id_each_time(settings: Any) -> None:
    settings.EMAIL_URL, settings.DEFAULT_FROM_EMAIL = "smtp://x", "LetServer <bot@ls.example>"
    parcel = _parcel(
        title="备份\r\nBcc: eve@example.com", level="warning", url="https://example.com/", actions=((1, "again"),)
    )
    receipts = [EMAIL.send(parcel, TO) for _ in range(2)]
    first, second = mail.outbox
    assert first.subject == "⚠️ 备份 Bcc: eve@example.com"
    assert first.body == "磁盘满了\n\n1. again\n\nhttps://example.com/"
    assert first.recipients() == ["alice@example.com"]
    assert first.message()["Message-ID"] == second.message()["Message-ID"] == "<d1@ls.example>"
    assert receipts[0].provider_id == "<d1@ls.example>"


def test_without_a_mail_server_it_is_a_refusal(settings: Any) -> None:
    settings.EMAIL_URL = ""
    with pytest.raises(ChannelError) as caught:
        EMAIL.send(_parcel(), TO)
    assert (caught.value.kind, caught.value.code) == (Fault.PERMANENT, "no server")


@pytest.mark.parametrize(
    ("at", "says", "kind", "code", "unheard"),
    [
        ("RCPT", "550 no such mailbox\r\n", Fault.AUTH, "smtp 550", False),
        ("RCPT", "451 greylisted\r\n", Fault.RETRY, "smtp 451", False),
        ("MAIL", "421 busy\r\n", Fault.RETRY, "smtp 421", False),
        ("DATA", "552 too big\r\n", Fault.PERMANENT, "smtp 552", False),
        ("DATA", "", Fault.RETRY, "connect", True),
    ],
)
def test_what_the_mail_server_says_decides(
    mail_server: Callable[..., None], at: str, says: str, kind: Fault, code: str, unheard: bool
) -> None:
    mail_server(at, says)
    with pytest.raises(ChannelError) as caught:
        EMAIL.send(_parcel(), TO)
    assert (caught.value.kind, caught.value.code, caught.value.unheard) == (kind, code, unheard)


def test_form_takes_one_mailbox() -> None:
    assert EMAIL.form(TO).is_valid()
    assert not EMAIL.form({"to": "a@example.com\nBcc: b@example.com"}).is_valid()
