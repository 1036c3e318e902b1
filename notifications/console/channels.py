"""Pages about channels: add, test, change, order, remove."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import console_page, show_once, take_once
from kernel.errors import AppError
from notifications.channels.confirming import ask_again, last_confirmation_mail, needs_confirmation
from notifications.channels.service import ChannelChange, create_channel, delete_channel, move_channel, update_channel
from notifications.channels.settings import settings_of
from notifications.channels.trial import try_channel
from notifications.console.forms import (
    ChannelForm,
    NewChannelForm,
    read_settings,
    settings_form,
)
from notifications.console.presentation import (
    DeliveryLine,
    allowances,
    channel_line,
    channel_lines,
    delivery_line,
    is_personal,
)
from notifications.drivers.base import Driver
from notifications.drivers.registry import all_drivers, driver_of
from notifications.models import Channel, Delivery


@console_page("GET")
def channel_list(request: HttpRequest, user: User) -> HttpResponse:
    """List the person's channels in the order in which they are tried, and what the services still allow."""
    lines = channel_lines(user)
    context = {
        "lines": lines,
        "allowances": allowances(user, [line.channel for line in lines]),
        "has_account": bool(settings.WECHAT_KIND),
    }
    return render(request, "notifications/channel_list.html", context)


@console_page("GET", "POST")
def channel_add(request: HttpRequest, user: User) -> HttpResponse:
    """Choose a service, then fill in what it asks for."""
    driver = all_drivers().get(request.GET.get("driver", ""))
    if driver is None or driver.personal:
        services = [(one.name, one.label) for one in all_drivers().values() if not one.personal]
        return render(request, "notifications/channel_choose.html", {"services": services})
    posted = request.POST if request.method == "POST" else None
    form = NewChannelForm(posted, initial={"name": _free_name(user, driver)})
    asked = settings_form(driver, posted, kept={})
    if posted is not None and _are_valid(form, asked):
        entered = read_settings(driver, asked)
        try:
            channel = create_channel(
                owner_id=user.pk,
                name=form.cleaned_data["name"],
                driver=driver.name,
                settings=entered,
                levels=form.cleaned_data["levels"],
                actor=f"user:{user.pk}",
            )
        except AppError as error:
            form.add_error(None, error.message)
        else:
            _show_made_secret(request, channel, driver, asked)
            if needs_confirmation(channel):
                messages.success(
                    request, _("The channel is added. Open the link in the mail that was sent to the mailbox.")
                )
            else:
                messages.success(request, _("The channel is added. Send a test to see whether it works."))
            return redirect("console:channel", channel.pk)
    context = {"form": form, "asked": asked, "driver": driver, "service": capfirst(str(driver.label))}
    failed = bool(form.errors or asked.errors)
    return render(request, "notifications/channel_add.html", context, status=400 if failed else 200)


@console_page("GET", "POST")
def channel_detail(request: HttpRequest, user: User, channel_id: str) -> HttpResponse:
    """Show a channel and take changes."""
    channel = _channel(user, channel_id)
    driver = driver_of(channel.driver)
    posted = request.POST if request.method == "POST" else None
    initial = {
        "name": channel.name,
        "levels": channel.levels,
        "quiet_from": channel.quiet_from,
        "quiet_until": channel.quiet_until,
    }
    form = ChannelForm(posted, initial=initial)
    asked = None if is_personal(channel) else settings_form(driver, posted, kept=settings_of(channel))
    if posted is not None and _are_valid(form, asked):
        values = form.cleaned_data
        change = ChannelChange(
            name=values["name"],
            levels=values["levels"],
            settings=None if asked is None else read_settings(driver, asked),
            quiet=(values["quiet_from"], values["quiet_until"]),
        )
        try:
            update_channel(channel=channel, change=change, actor=f"user:{user.pk}")
        except AppError as error:
            form.add_error(None, error.message)
        else:
            if asked is not None:
                _show_made_secret(request, channel, driver, asked)
            messages.success(request, _("Saved."))
            return redirect("console:channel", channel.pk)
    waiting = Delivery.objects.visible_to(user).open().filter(channel=channel).count()
    context = {
        "line": channel_line(channel, waiting),
        "channel": channel,
        "form": form,
        "asked": asked,
        "zone": settings.TIME_ZONE,
        "allowances": allowances(user, [channel]),
        "made_secret": take_once(request, f"channel-secret-{channel.pk}"),
        "confirmation_mail": _confirmation_mail(channel),
    }
    failed = bool(form.errors or (asked is not None and asked.errors))
    return render(request, "notifications/channel_detail.html", context, status=400 if failed else 200)


@console_page("POST")
def channel_move(request: HttpRequest, user: User, channel_id: str) -> HttpResponse:
    """Swap a channel with its neighbour in the order."""
    move_channel(channel=_channel(user, channel_id), up=request.POST.get("to") == "up", actor=f"user:{user.pk}")
    return redirect("console:channels")


@console_page("POST")
def channel_switch(request: HttpRequest, user: User, channel_id: str) -> HttpResponse:
    """Switch a channel on or off."""
    change = ChannelChange(enabled=request.POST.get("to") == "on")
    channel = update_channel(channel=_channel(user, channel_id), change=change, actor=f"user:{user.pk}")
    text = _("%(name)s is switched on.") if channel.enabled else _("%(name)s is switched off.")
    messages.success(request, text % {"name": channel.name})
    return redirect("console:channel", channel.pk)


@console_page("POST")
def channel_test(request: HttpRequest, user: User, channel_id: str) -> HttpResponse:
    """Send a test and redirect to its page, which shows the service's answer."""
    channel = _channel(user, channel_id)
    try:
        message = try_channel(channel)
    except AppError as error:
        messages.error(request, error.message)
        return redirect("console:channel", channel.pk)
    return redirect("console:message", message.pk)


@console_page("POST")
def channel_ask(request: HttpRequest, user: User, channel_id: str) -> HttpResponse:
    """Send the confirmation mail again."""
    channel = _channel(user, channel_id)
    try:
        ask_again(channel=channel)
    except AppError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("A mail is on its way."))
    return redirect("console:channel", channel.pk)


@console_page("GET", "POST")
def channel_delete(request: HttpRequest, user: User, channel_id: str) -> HttpResponse:
    """Ask, then remove a channel."""
    channel = _channel(user, channel_id)
    if request.method != "POST":
        context = {"channel": channel, "is_personal": is_personal(channel)}
        return render(request, "notifications/channel_delete.html", context)
    delete_channel(channel=channel, actor=f"user:{user.pk}")
    messages.success(request, _("The channel %(name)s is removed.") % {"name": channel.name})
    return redirect("console:channels")


def _channel(user: User, channel_id: str) -> Channel:
    return get_object_or_404(Channel.objects.visible_to(user), pk=channel_id)


def _are_valid(form: forms.Form, asked: forms.Form | None) -> bool:
    """Validate both forms, so that a person sees all errors at once."""
    return all([form.is_valid(), asked is None or asked.is_valid()])


def _confirmation_mail(channel: Channel) -> DeliveryLine | None:
    """Return the delivery of the confirmation mail, as long as the channel is not confirmed."""
    row = last_confirmation_mail(channel) if needs_confirmation(channel) else None
    return None if row is None else delivery_line(row)


def _free_name(user: User, driver: Driver) -> str:
    taken = set(Channel.objects.visible_to(user).values_list("name", flat=True))
    label = str(driver.label)
    return next(name for name in (label, *(f"{label} {number}" for number in range(2, 99))) if name not in taken)


def _show_made_secret(request: HttpRequest, channel: Channel, driver: Driver, asked: forms.Form) -> None:
    """Show a secret once that the form has made for an empty field."""
    for name in driver.secret_fields():
        made = asked.cleaned_data[name]
        if made and not asked.data.get(asked.add_prefix(name)):
            show_once(request, f"channel-secret-{channel.pk}", made)
