"""The tables of conversations: open questions, codes, inbound messages, invitations, lines of the console's chat."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import ChatIdentity
from chat.querysets import ChatLineQuerySet
from kernel.fields import IdField

PLACE_LENGTH = 64


class Question(models.Model):
    """A command that waits for the person's yes. `place` is the conversation (`Line.place`); each has at most one."""

    id = IdField()
    place = models.CharField(_("place"), max_length=PLACE_LENGTH, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("owner")
    )
    # The line as typed may hold what a person sends to an agent.
    sealed_line = models.TextField(_("line"), editable=False)
    expires_at = models.DateTimeField(_("expires at"))

    class Meta:
        verbose_name = _("open question")
        verbose_name_plural = _("open questions")
        # The sweep of unanswered questions.
        indexes = [models.Index(fields=["expires_at"], name="question_expiry")]

    def __str__(self) -> str:
        return self.place


class CodeKind(models.TextChoices):
    """The purpose of a code."""

    BIND = "bind", _("ties a chat to an account")
    LOGIN = "login", _("logs a browser in")
    SCENE = "scene", _("logs a browser in by a scanned picture")


class OneTimeCode(models.Model):
    """A secret that lives a few minutes and is used once. Only its keyed digest is stored.

    A code to bind belongs to the `owner` who asked for it. A code to log in belongs to a browser (`browser_digest`).
    The person who types it in a chat becomes its owner, and only that browser collects the login.
    """

    id = IdField()
    kind = models.CharField(_("kind"), max_length=8, choices=CodeKind)
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+", verbose_name=_("owner")
    )
    browser_digest = models.CharField(_("browser"), max_length=64, blank=True)
    # The browser and the chat show this number, so that the person can compare before they say yes.
    shown_number = models.CharField(_("number to compare"), max_length=4, blank=True)
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"))
    approved_at = models.DateTimeField(_("approved at"), null=True)

    class Meta:
        verbose_name = _("one-time code")
        verbose_name_plural = _("one-time codes")
        indexes = [
            # The sweep of expired codes.
            models.Index(fields=["expires_at"], name="code_expiry"),
            # The poll of a browser that waits for its login.
            models.Index(fields=["browser_digest"], name="code_browser"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at}"


class WrongCodes(models.Model):
    """The number of wrong codes from one chat since a time. `place` names the chat."""

    place = models.CharField(_("place"), max_length=PLACE_LENGTH, primary_key=True)
    since = models.DateTimeField(_("since"))
    count = models.PositiveSmallIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("wrong codes")
        verbose_name_plural = _("wrong codes")

    def __str__(self) -> str:
        return self.place


class InboundState(models.TextChoices):
    """Whether an inbound message is answered."""

    ANSWERED = "answered", _("answered")
    LATER = "later", _("answered later")


class InboundMessage(models.Model):
    """One message or event that a platform pushed. Platforms push it again; every repeat gets the stored first reply.

    `digest` covers the platform, the account and the platform's id of the message. Texts are encrypted, and wiped when
    no repeat can come. The row stays for 30 days against replays. `identity` and the text are set only while the answer
    is postponed.
    """

    id = IdField()
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    platform = models.CharField(_("platform"), max_length=16)
    identity = models.ForeignKey(
        ChatIdentity, on_delete=models.SET_NULL, null=True, related_name="+", verbose_name=_("identity")
    )
    state = models.CharField(_("state"), max_length=8, choices=InboundState, default=InboundState.ANSWERED)
    sealed_text = models.TextField(_("text"), blank=True, editable=False)
    sealed_reply = models.TextField(_("reply"), blank=True, editable=False)
    came_at = models.DateTimeField(_("came at"))

    class Meta:
        verbose_name = _("message that came in")
        verbose_name_plural = _("messages that came in")
        indexes = [
            # The sweeps of old messages and of postponed answers.
            models.Index(fields=["state", "came_at"], name="inbound_age"),
        ]

    def __str__(self) -> str:
        return f"{self.platform} {self.id}"


class Invitation(models.Model):
    """A person joined by the poster of another. Each invited person counts once, even if they leave and return."""

    id = IdField()
    inviter = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("who invited")
    )
    invited = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("who came")
    )
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")

    def __str__(self) -> str:
        return f"{self.inviter_id} {self.invited_id}"


class ChatLine(models.Model):
    """One bubble of the console's chat page, with secrets masked. The page shows a secret only when it is new."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("owner")
    )
    from_person = models.BooleanField(_("from the person"))
    text = models.TextField(_("text"))
    at = models.DateTimeField(_("at"))

    objects = ChatLineQuerySet.as_manager()

    class Meta:
        verbose_name = _("chat line")
        verbose_name_plural = _("chat lines")
        indexes = [
            # The conversation of one person.
            models.Index(fields=["owner", "id"], name="chat_line_list"),
            # The sweep of old lines.
            models.Index(fields=["at"], name="chat_line_age"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
