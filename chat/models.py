"""What a conversation must remember: open questions, codes, what was heard and answered, who brought whom."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import ChatIdentity
from chat.querysets import ChatLineQuerySet
from kernel.fields import IdField

PLACE_LENGTH = 64


class Question(models.Model):
    """A command that waits for the person's yes. At most one in each place; a newer one takes the older one's."""

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
        # The sweep: what nobody answered.
        indexes = [models.Index(fields=["expires_at"], name="question_expiry")]

    def __str__(self) -> str:
        return self.place


class CodeKind(models.TextChoices):
    """What a code is good for."""

    BIND = "bind", _("ties a chat to an account")
    LOGIN = "login", _("logs a browser in")
    SCENE = "scene", _("logs a browser in by a scanned picture")


class OneTimeCode(models.Model):
    """A secret of a few minutes, used once. Only its keyed digest is kept.

    A code to bind belongs to the `owner` who asked for it. A code to log in belongs to a browser (`browser_digest`);
    who types it in a chat becomes its owner, and that browser, nobody else, collects it.
    """

    id = IdField()
    kind = models.CharField(_("kind"), max_length=8, choices=CodeKind)
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+", verbose_name=_("owner")
    )
    browser_digest = models.CharField(_("browser"), max_length=64, blank=True)
    # Shown in the browser and in the chat, for the person to compare before they say yes.
    shown_number = models.CharField(_("number to compare"), max_length=4, blank=True)
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"))
    approved_at = models.DateTimeField(_("approved at"), null=True)

    class Meta:
        verbose_name = _("one-time code")
        verbose_name_plural = _("one-time codes")
        indexes = [
            # The sweep: what is over.
            models.Index(fields=["expires_at"], name="code_expiry"),
            # What a browser waits for.
            models.Index(fields=["browser_digest"], name="code_browser"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at}"


class WrongCodes(models.Model):
    """How many wrong codes came from one place since a moment."""

    place = models.CharField(_("place"), max_length=PLACE_LENGTH, primary_key=True)
    since = models.DateTimeField(_("since"))
    count = models.PositiveSmallIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("wrong codes")
        verbose_name_plural = _("wrong codes")

    def __str__(self) -> str:
        return self.place


class InboundState(models.TextChoices):
    """Where a message that came in stands."""

    ANSWERED = "answered", _("answered")
    LATER = "later", _("answered later")


class InboundMessage(models.Model):
    """One message or event that a platform brought, however often it brings it. The first reply is kept for repeats.

    `digest` is that of platform, account and what the platform tells its messages apart by. Texts are sealed and
    wiped when no repeat can come any more; the row itself stays, so that nothing old can be played again. `identity`
    and the text stand there only while the answer is to be given later.
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
            # The sweeps: what is old, and what still has to be answered.
            models.Index(fields=["state", "came_at"], name="inbound_age"),
        ]

    def __str__(self) -> str:
        return f"{self.platform} {self.id}"


class Invitation(models.Model):
    """Somebody came by somebody's poster. Each person counts once, however often they leave and come back."""

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
    """One bubble of the console's chat page. Secrets in it are masked: the page shows them once, when they come."""

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
            # A person's conversation, newest last.
            models.Index(fields=["owner", "id"], name="chat_line_list"),
            # The sweep: what is old.
            models.Index(fields=["at"], name="chat_line_age"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
