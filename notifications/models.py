"""Messages, the channels they travel on, the outbox, and the ledger of what the platforms still allow."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from kernel.fields import IdField
from kernel.ids import ID_LENGTH
from notifications.querysets import ChannelQuerySet, DeliveryQuerySet, MessageQuerySet

TITLE_LENGTH = 128
TEXT_LENGTH = 65_536
SOURCE_LENGTH = 255
URL_LENGTH = 1024
KEY_LENGTH = 64
CHANNEL_NAME_LENGTH = 50
ACTION_LABEL_LENGTH = 64
ACTIONS_LIMIT = 9


class Level(models.TextChoices):
    """How much a message matters."""

    INFO = "info", _("information")
    WARNING = "warning", _("warning")
    ERROR = "error", _("error")


COLOURS = {Level.INFO: "#1677FF", Level.WARNING: "#D4380D", Level.ERROR: "#A8071A"}
"""The colour of a message that has none: blue for information, red for the rest."""


class Format(models.TextChoices):
    """The markup of a text."""

    TEXT = "text", _("plain text")
    MARKDOWN = "markdown", _("Markdown")


class Way(models.TextChoices):
    """The way of sending on a platform that has several; empty leaves the choice to the channel."""

    ANY = "", _("as it comes")
    TEMPLATE = "template", _("template message")
    TEXT = "text", _("text in the chat")
    AUTO = "auto", _("text, else template")


class Channel(models.Model):
    """A way to reach one person through a driver. The channel with the lowest `position` is tried first.

    `sealed` holds the settings of the driver's form, encrypted. The channel of a chat account has `account` (our side:
    app id, corp id, bot) and `address` (the person's: openid, user id) instead.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="channels", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=CHANNEL_NAME_LENGTH)
    driver = models.CharField(_("service"), max_length=32)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    levels = models.JSONField(_("levels"), default=list)
    sealed = models.TextField(_("sealed settings"), blank=True, editable=False)
    account = models.CharField(_("account"), max_length=64, blank=True)
    # NULL without one: two empty texts would violate the constraint.
    address = models.CharField(_("address"), max_length=128, null=True)  # noqa: DJ001
    enabled = models.BooleanField(_("enabled"), default=True)
    off_reason = models.CharField(_("switched off because"), max_length=64, blank=True)
    off_at = models.DateTimeField(_("switched off at"), null=True)
    quiet_from = models.TimeField(_("quiet from"), null=True)
    quiet_until = models.TimeField(_("quiet until"), null=True)
    last_sent_at = models.DateTimeField(_("last message at"), null=True)
    # The time at which the reader of the mailbox agreed; only a driver with `confirmed_by` asks.
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True)
    created_at = models.DateTimeField(_("created at"))
    changed_at = models.DateTimeField(_("changed at"))

    objects = ChannelQuerySet.as_manager()

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="channel_name_once"),
            models.UniqueConstraint(fields=["driver", "account", "address"], name="channel_address_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """A text for a person, stored before its sender is answered.

    Its channels are chosen once, when it is accepted; the deliveries hold them and the results.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="messages", verbose_name=_("owner")
    )
    title = models.CharField(_("title"), max_length=TITLE_LENGTH, blank=True)
    text = models.TextField(_("text"), max_length=TEXT_LENGTH)
    format = models.CharField(_("format"), max_length=10, choices=Format, default=Format.TEXT)
    level = models.CharField(_("level"), max_length=10, choices=Level, default=Level.INFO)
    source = models.CharField(_("source"), max_length=SOURCE_LENGTH, blank=True)
    colour = models.CharField(_("colour"), max_length=7)
    url = models.CharField(_("link"), max_length=URL_LENGTH, blank=True)
    mentions = models.JSONField(_("mentions"), default=list)
    # Text, because this app must not know agents.
    agent_id = models.CharField(_("agent"), max_length=ID_LENGTH, blank=True)
    count = models.PositiveIntegerField(_("count"), default=1)
    key = models.CharField(_("key"), max_length=KEY_LENGTH, blank=True)
    idempotency_digest = models.CharField(_("idempotency key"), max_length=64, null=True)  # noqa: DJ001
    request_digest = models.CharField(_("request"), max_length=64)
    not_before = models.DateTimeField(_("not before"), null=True)
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True)
    created_at = models.DateTimeField(_("created at"))

    objects = MessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [
            # list_messages(): one owner, newest first.
            models.Index(fields=["owner", "id"], name="message_list"),
            # find_equal(): the newest equal message.
            models.Index(fields=["owner", "request_digest", "created_at"], name="message_same"),
            # withdraw_key(): the messages under a key.
            models.Index(fields=["owner", "key", "id"], name="message_key"),
        ]
        constraints = [models.UniqueConstraint(fields=["owner", "idempotency_digest"], name="message_idempotency")]

    def __str__(self) -> str:
        return f"{self.id} {self.level}"

    @property
    def state(self) -> str:
        """Return the state of the delivery that is furthest from its end; `stored` without deliveries.

        A dead delivery counts only if there is no other, because another channel may have taken over.
        """
        states = {delivery.state for delivery in self.deliveries.all()}
        order = (DeliveryState.IN_FLIGHT, DeliveryState.RETRY, DeliveryState.PENDING, DeliveryState.SENT)
        return next((str(one) for one in order if one in states), str(next(iter(states), "stored")))


class MessageAction(models.Model):
    """A job for one of the owner's agents, started by answering the message with its number."""

    id = IdField()
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="actions", verbose_name=_("message"))
    number = models.PositiveSmallIntegerField(_("number"))
    label = models.CharField(_("label"), max_length=ACTION_LABEL_LENGTH)
    agent = models.CharField(_("agent"), max_length=50)
    text = models.CharField(_("job"), max_length=4096)
    once = models.BooleanField(_("only once"), default=True)
    expires_at = models.DateTimeField(_("expires at"))
    taken_at = models.DateTimeField(_("taken at"), null=True)

    class Meta:
        verbose_name = _("action")
        verbose_name_plural = _("actions")
        constraints = [models.UniqueConstraint(fields=["message", "number"], name="message_action_number")]

    def __str__(self) -> str:
        return f"{self.message_id} {self.number}"


class DeliveryState(models.TextChoices):
    """The state of a delivery."""

    PENDING = "pending", _("pending")
    IN_FLIGHT = "in_flight", _("in flight")
    SENT = "sent", _("sent out")
    RETRY = "retry", _("waiting to be tried again")
    DEAD = "dead", _("given up")
    WITHDRAWN = "withdrawn", _("withdrawn")


WAITING_STATES = (DeliveryState.PENDING, DeliveryState.RETRY)
OPEN_STATES = (*WAITING_STATES, DeliveryState.IN_FLIGHT)


class DeliveryKind(models.TextChoices):
    """The kind of a delivery: it chooses the sender and the retry table."""

    MESSAGE = "message", _("message")
    CALLBACK = "callback", _("callback")
    EVENT = "event", _("event")


class Delivery(models.Model):
    """A row of the outbox: one message, callback or event for one target, inserted in the transaction of its change.

    `subject` is text such as `job:<id>`, because this app must not know jobs. `dedupe_key` is unique per change and
    target. Deliveries of one `lane` share a concurrency limit. `fallback` lists the channels and ways to try if this
    one refuses. `reserved` is the mark of what the quota ledger has counted. `tries` counts attempts; a result counts
    only if `tries` is still the same. `lost_tries` counts attempts whose sender died; `unheard` is set if the service
    may have taken one without an answer. A row of kind MESSAGE without a message is a confirmation mail.
    """

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="deliveries", verbose_name=_("owner")
    )
    kind = models.CharField(_("kind"), max_length=32, choices=DeliveryKind)
    subject = models.CharField(_("subject"), max_length=128)
    target = models.CharField(_("target"), max_length=255)
    dedupe_key = models.CharField(_("dedupe key"), max_length=191, unique=True)
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, null=True, related_name="deliveries", verbose_name=_("message")
    )
    channel = models.ForeignKey(
        Channel, on_delete=models.SET_NULL, null=True, related_name="deliveries", verbose_name=_("channel")
    )
    way = models.CharField(_("way"), max_length=10, choices=Way, blank=True)
    fallback = models.JSONField(_("else"), default=list)
    reserved = models.CharField(_("counted by"), max_length=64, blank=True)
    payload = models.JSONField(_("payload"))
    lane = models.CharField(_("lane"), max_length=191)
    state = models.CharField(_("state"), max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    lost_tries = models.PositiveSmallIntegerField(_("tries without an end"), default=0)
    unheard = models.BooleanField(_("a try went unheard"), default=False)
    due_at = models.DateTimeField(_("due at"))
    claimed_until = models.DateTimeField(_("claimed until"), null=True)
    fault = models.CharField(_("fault"), max_length=16, blank=True)
    provider_code = models.CharField(_("provider's code"), max_length=64, blank=True)
    provider_id = models.CharField(_("provider's id"), max_length=128, blank=True)
    created_at = models.DateTimeField(_("created at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            # claimable(): due deliveries.
            models.Index(fields=["state", "due_at"], name="delivery_due"),
            # claimable(): claims that have run out.
            models.Index(fields=["state", "claimed_until"], name="delivery_claimed"),
            # GET /deliveries?subject=: newest first.
            models.Index(fields=["subject", "created_at"], name="delivery_subject"),
            # forget_old_deliveries(): old ones by kind.
            models.Index(fields=["kind", "ended_at"], name="delivery_old"),
            # is_crowded(): the backlog of a channel.
            models.Index(fields=["channel", "state"], name="delivery_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} {self.state}"


class ChatCredit(models.Model):
    """The texts that WeChat takes for one person until they write again; `quota/chat_credit.py` has an example."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="chat_credits", verbose_name=_("owner")
    )
    account = models.CharField(_("account"), max_length=64)
    address = models.CharField(_("address"), max_length=128)
    ends_at = models.DateTimeField(_("window ends"))
    used = models.PositiveIntegerField(_("used"), default=0)
    limit = models.PositiveIntegerField(_("limit"))
    learned = models.PositiveIntegerField(_("learned limit"), null=True)
    refused_at = models.PositiveIntegerField(_("refused after"), null=True)

    class Meta:
        verbose_name = _("chat credit")
        verbose_name_plural = _("chat credits")
        constraints = [
            models.UniqueConstraint(fields=["account", "address"], name="chat_credit_once"),
            models.CheckConstraint(condition=models.Q(used__lte=models.F("limit")), name="chat_credit_within_limit"),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.used}/{self.limit}"


class PaceMeter(models.Model):
    """The recent uses of one robot or bot, in seconds since 1970, oldest first, as far back as its platform counts."""

    id = IdField()
    key = models.CharField(_("what is counted"), max_length=64, unique=True)
    times = models.JSONField(_("times"), default=list)

    class Meta:
        verbose_name = _("pace")
        verbose_name_plural = _("paces")

    def __str__(self) -> str:
        return f"{self.key} {len(self.times)}"


class SigningSecret(models.Model):
    """The sealed secret that signs an owner's callbacks. Until `old_until` the old secret signs too."""

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="signing_secret",
        verbose_name=_("owner"),
    )
    sealed = models.CharField(_("sealed secret"), max_length=255, editable=False)
    old_sealed = models.CharField(_("sealed old secret"), max_length=255, blank=True, editable=False)
    old_until = models.DateTimeField(_("old secret until"), null=True)
    changed_at = models.DateTimeField(_("changed at"))

    class Meta:
        verbose_name = _("signing secret")
        verbose_name_plural = _("signing secrets")

    def __str__(self) -> str:
        return f"{self.owner_id} {self.changed_at}"


class ShutTarget(models.Model):
    """A callback address that answered 410 to an owner's callback. It is not called again until a replay opens it."""

    id = IdField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="shut_targets", verbose_name=_("owner")
    )
    digest = models.CharField(_("digest of the address"), max_length=64)
    shut_at = models.DateTimeField(_("shut at"))

    class Meta:
        verbose_name = _("address that was shut")
        verbose_name_plural = _("addresses that were shut")
        constraints = [models.UniqueConstraint(fields=["owner", "digest"], name="shut_target_once")]

    def __str__(self) -> str:
        return f"{self.owner_id} {self.digest[:8]}"
