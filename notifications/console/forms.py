"""Forms of channels and messages. The settings of a service are the form of its driver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kernel.ids import ID_LENGTH, new_id
from kernel.visible import visible_line
from notifications.channels.confirming import needs_confirmation
from notifications.drivers.base import Driver
from notifications.models import CHANNEL_NAME_LENGTH, TITLE_LENGTH, Channel, Level

# A form's body of 64 KiB carries this many characters if each is encoded as nine.
_FORM_CHARACTERS = 6000
_SETTINGS = "settings"
_FORGET = "forget_"


class NewChannelForm(forms.Form):
    """The name of a channel and the levels that it takes by default."""

    name = forms.CharField(
        label=_("Name"),
        max_length=CHANNEL_NAME_LENGTH,
        help_text=_("You name it where a message shall go to this channel only."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    levels = forms.MultipleChoiceField(
        label=_("Takes by itself"),
        choices=Level.choices,
        required=False,
        initial=Level.values,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Nothing ticked: only messages that name it."),
    )


class ChannelForm(NewChannelForm):
    """The name, the levels, and the quiet hours."""

    quiet_from = forms.TimeField(label=_("Quiet from"), required=False)
    quiet_until = forms.TimeField(label=_("Quiet until"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("quiet_from", "quiet_until"):
            self.fields[name].widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")

    def clean(self) -> dict[str, Any]:
        """Take both times or none."""
        values = super().clean() or {}
        if not self.errors and (values["quiet_from"] is None) != (values["quiet_until"] is None):
            self.add_error("quiet_until", gettext("Fill in both times, or none."))
        return values


class MessageForm(forms.Form):
    """A message to oneself. `key` is made when the form is drawn, so that a double click sends one message."""

    text = forms.CharField(
        label=_("Text"), max_length=_FORM_CHARACTERS, widget=forms.Textarea(attrs={"rows": 4, "data-grow": ""})
    )
    title = forms.CharField(label=_("Title"), max_length=TITLE_LENGTH, required=False)
    level = forms.ChoiceField(label=_("Level"), choices=Level.choices, initial=Level.INFO)
    channels = forms.MultipleChoiceField(
        label=_("To"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Nothing ticked: the first channel that takes this level."),
    )
    key = forms.CharField(max_length=ID_LENGTH, widget=forms.HiddenInput)

    def __init__(self, *args: Any, channels: Iterable[Channel], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("key", new_id())
        field = self.fields["channels"]
        if isinstance(field, forms.MultipleChoiceField):
            field.choices = [
                (one.pk, visible_line(one.name)) for one in channels if one.enabled and not needs_confirmation(one)
            ]

    def clean_text(self) -> str:
        """Return the text with the line ends that browsers change to CRLF."""
        return str(self.cleaned_data["text"]).replace("\r\n", "\n")


class MessageFilterForm(forms.Form):
    """The level of the messages to list."""

    level = forms.ChoiceField(label=_("Level"), required=False, choices=[("", _("every level")), *Level.choices])


def settings_form(driver: Driver, data: QueryDict | None, *, kept: Mapping[str, object]) -> forms.Form:
    """Return the driver's own form, filled with the kept settings.

    A secret is never drawn: an empty field keeps it, and an optional one is removed by a tick.
    """
    secret_names = [name for name in driver.form.base_fields if name in driver.secret_fields() and kept.get(name)]
    given = None if data is None else data.copy()
    if given is not None:
        for name in secret_names:
            if not given.get(f"{_SETTINGS}-{name}") and f"{_SETTINGS}-{_FORGET}{name}" not in given:
                given[f"{_SETTINGS}-{name}"] = str(kept[name])
    shown = {name: value for name, value in kept.items() if name not in driver.secret_fields()}
    form = driver.form(given, initial=shown, prefix=_SETTINGS)
    for field in form.fields.values():
        if isinstance(field.widget, forms.Textarea):
            field.widget.attrs["rows"] = 4
    for name in secret_names:
        field = form.fields[name]
        field.widget.attrs["placeholder"] = gettext("kept; empty leaves it as it is")
        if not field.required:
            form.fields[_FORGET + name] = forms.BooleanField(label=gettext("Forget it"), required=False)
        field.required = False
    order = [one for name in driver.form.base_fields for one in (name, _FORGET + name)]
    form.order_fields(order)
    return form


def read_settings(driver: Driver, form: forms.Form) -> dict[str, object]:
    """Return the driver's settings from a valid form."""
    return {name: form.cleaned_data[name] for name in driver.form.base_fields}
