"""Users, tokens, chat identities, audit entries, quota ledger."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.querysets import ChatIdentityQuerySet, UserTokenQuerySet
from kernel.fields import IdField


class User(AbstractUser):
    """A person. `is_active` off means frozen: no login, no token works, waiting jobs are canceled."""

    id = IdField()
    # The language of messages to this person. Pages follow the browser.
    language = models.CharField(_("language"), max_length=10, blank=True)
    changed_at = models.DateTimeField(_("changed at"), null=True, editable=False)
    # Agents beyond the general limit: one for each person that this user invited.
    bonus_agents = models.PositiveIntegerField(_("agents on top"), default=0)

    class Meta(AbstractUser.Meta):
        verbose_name = _("user")  # type: ignore[assignment]  # the stubs of the base class know plain text only
        verbose_name_plural = _("users")  # type: ignore[assignment]
        # Twice a second every gateway process reads the users frozen or thawed in the last seconds.
        indexes = [models.Index(fields=["changed_at"], name="user_changed")]

    @property
    def owner_id(self) -> str:
        """The user's own id, so that a user and a token's principal are both a `Viewer` (`accounts.querysets`)."""
        return str(self.pk)


class TokenScope(models.TextChoices):
    """The calls that a user token may make."""

    FULL = "full", _("everything")
    JOBS = "jobs", _("jobs only")
    MESSAGES = "messages", _("messages only")


class UserToken(models.Model):
    """A token of a user. Only its SHA-256 is stored. `sealed` is the encrypted token if chat must show it again."""

    id = IdField()
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens", verbose_name=_("user"))
    scope = models.CharField(_("scope"), max_length=10, choices=TokenScope)
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    prefix = models.CharField(_("begins with"), max_length=12)
    remark = models.CharField(_("remark"), max_length=250, blank=True)
    sealed = models.TextField(_("sealed"), blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True)
    changed_at = models.DateTimeField(_("changed at"))

    objects = UserTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("user token")
        verbose_name_plural = _("user tokens")
        # Twice a second every gateway process reads the tokens changed in the last seconds.
        indexes = [models.Index(fields=["changed_at"], name="user_token_changed")]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class ChatIdentity(models.Model):
    """A person's account on a chat platform (WeChat, WeCom, Telegram, Slack). Its texts are commands of `owner`.

    `account` is our own account there, because the platform gives one person another id for each of our accounts.
    """

    id = IdField()
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities", verbose_name=_("owner"))
    platform = models.CharField(_("platform"), max_length=16)
    account = models.CharField(_("our account there"), max_length=64)
    external_id = models.CharField(_("id there"), max_length=128)
    display = models.CharField(_("name there"), max_length=64, blank=True)
    # Off: the person has unfollowed or blocked our account. We send nothing; the binding stays for their return.
    active = models.BooleanField(_("active"), default=True)
    bound_at = models.DateTimeField(_("bound at"))

    objects = ChatIdentityQuerySet.as_manager()

    class Meta:
        verbose_name = _("chat identity")
        verbose_name_plural = _("chat identities")
        constraints = [
            models.UniqueConstraint(fields=["platform", "account", "external_id"], name="chat_identity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.platform} {self.display or self.id}"


class AuditEntry(models.Model):
    """One action of a person on accounts, tokens, agents or quotas. Append-only: each digest covers the one before."""

    sequence = models.BigIntegerField(_("number"), primary_key=True)
    at = models.DateTimeField(_("at"))
    actor = models.CharField(_("actor"), max_length=64)
    action = models.CharField(_("action"), max_length=64)
    subject = models.CharField(_("subject"), max_length=128)
    details = models.JSONField(_("details"), default=dict)
    previous_digest = models.CharField(_("digest of the entry before"), max_length=64)
    digest = models.CharField(_("digest"), max_length=64, unique=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ["-sequence"]
        # The history of one subject, and the actions of one actor.
        indexes = [
            models.Index(fields=["subject", "sequence"], name="audit_subject"),
            models.Index(fields=["actor", "sequence"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.subject}"


class QuotaUse(models.Model):
    """The quota ledger: the use of one kind by one owner in one window. A conditional UPDATE reserves from it."""

    id = IdField()
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="quota_uses", verbose_name=_("owner"))
    kind = models.CharField(_("kind"), max_length=64)
    window_start = models.DateTimeField(_("window begins"))
    used = models.PositiveIntegerField(_("used"), default=0)
    limit = models.PositiveIntegerField(_("limit"))

    class Meta:
        verbose_name = _("quota use")
        verbose_name_plural = _("quota uses")
        constraints = [
            models.UniqueConstraint(fields=["owner", "kind", "window_start"], name="quota_use_window"),
            models.CheckConstraint(condition=models.Q(used__lte=models.F("limit")), name="quota_use_within_limit"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.used}/{self.limit}"
