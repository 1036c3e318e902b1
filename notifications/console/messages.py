"""Pages about messages: send, read, withdraw, replay."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import console_page
from kernel.clock import database_now
from kernel.errors import AppError, IdempotencyMismatch
from kernel.ids import new_id
from kernel.transactions import run_one
from notifications.console.forms import (
    MessageFilterForm,
    MessageForm,
)
from notifications.console.presentation import (
    delivery_lines,
    headline_of,
    message_lines,
)
from notifications.deliveries.replay import replay_delivery
from notifications.messages.accept import accept_messages
from notifications.messages.actions import open_actions
from notifications.messages.links import detail_path
from notifications.messages.new_message import NewMessage
from notifications.messages.read import list_messages, read_message, withdraw_message
from notifications.models import OPEN_STATES, WAITING_STATES, Channel, Delivery, DeliveryState, Message

PAGE_SIZE = 30


@console_page("GET")
def message_list(request: HttpRequest, user: User) -> HttpResponse:
    """List messages, newest first, all or those of a level."""
    form = MessageFilterForm(request.GET)
    form.is_valid()
    level = form.cleaned_data.get("level", "")
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    part = list_messages(viewer=user, level=level, before=before, after=after, size=PAGE_SIZE)
    context = {
        "form": form,
        "level": level,
        "lines": message_lines(part.rows),
        "part": part,
        "has_channels": Channel.objects.visible_to(user).exists(),
    }
    return render(request, "notifications/message_list.html", context)


@console_page("GET", "POST")
def message_send(request: HttpRequest, user: User) -> HttpResponse:
    """Send a message to oneself and redirect to its page; show an error at the form."""
    channels = list(Channel.objects.visible_to(user).in_order())
    form = MessageForm(request.POST if request.method == "POST" else None, channels=channels)
    if form.is_valid():
        outcome = _send(user, form)
        if isinstance(outcome, Message):
            return redirect("console:message", outcome.pk)
        if isinstance(outcome, IdempotencyMismatch):
            form.data = {**request.POST.dict(), "channels": request.POST.getlist("channels"), "key": new_id()}
        form.add_error(None, _sentence(outcome))
    context = {"form": form, "channels": channels}
    return render(request, "notifications/message_send.html", context, status=400 if form.errors else 200)


@console_page("GET")
def message_detail(request: HttpRequest, user: User, message_id: str) -> HttpResponse:
    """Show a message and its deliveries; while one is unfinished, htmx polls for the part that changes."""
    message = read_message(viewer=user, message_id=message_id)
    deliveries = list(message.deliveries.all())
    context = {
        "message": message,
        "headline": headline_of(message),
        "state": message.state,
        "lines": delivery_lines(message),
        "is_open": any(one.state in OPEN_STATES for one in deliveries),
        "can_withdraw": any(one.state in WAITING_STATES for one in deliveries),
        "actions": message.actions.all(),
        "open_actions": open_actions(message, database_now()),
        "page": detail_path(message.pk),
    }
    part = request.headers.get("HX-Request")
    return render(request, "notifications/_message.html" if part else "notifications/message_detail.html", context)


@console_page("POST")
def message_withdraw(request: HttpRequest, user: User, message_id: str) -> HttpResponse:
    """Withdraw what has not been sent of a message."""
    message = withdraw_message(viewer=user, message_id=message_id)
    if any(one.state == DeliveryState.WITHDRAWN for one in message.deliveries.all()):
        messages.success(request, _("Everything that had not been sent is withdrawn."))
    else:
        messages.info(request, _("There is nothing left to withdraw."))
    return redirect("console:message", message.pk)


@console_page("POST")
def delivery_replay(request: HttpRequest, user: User, delivery_id: str) -> HttpResponse:
    """Replay a dead delivery."""
    delivery = get_object_or_404(Delivery.objects.visible_to(user).filter(message__isnull=False), pk=delivery_id)
    if not replay_delivery(delivery):
        messages.info(request, _("This delivery was not given up, so it is not sent again."))
    return redirect("console:message", delivery.message_id)


def _send(user: User, form: MessageForm) -> Message | AppError:
    values = form.cleaned_data
    requested = NewMessage(
        owner_id=user.pk,
        text=values["text"],
        title=values["title"],
        level=values["level"],
        source="console",
        channels=tuple(values["channels"]),
        idempotency_key=f"console:{values['key']}",
        must_reach=True,
    )
    try:
        return run_one(accept_messages, requested)
    except AppError as error:
        return error


def _sentence(error: AppError) -> str:
    """Return the error's sentence in the words of the form."""
    if isinstance(error, IdempotencyMismatch):
        return _("This form was sent before with another text. Send it again to make a new message.")
    return error.message
