"""Forms about agents. The services check names; the forms only collect them."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from agents.models import NAME_LENGTH, REMARK_LENGTH


class AgentForm(forms.Form):
    """The name, alias and remark of an agent, and whether it acts for its owner."""

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        help_text=_("2 to 50 characters without spaces, such as web-1. You write it before each job."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    alias = forms.CharField(
        label=_("Alias"),
        max_length=NAME_LENGTH,
        required=False,
        help_text=_("A second, shorter name, if you want one."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    remark = forms.CharField(
        label=_("Remark"),
        max_length=REMARK_LENGTH,
        required=False,
        help_text=_("For you: what runs there, who to ask."),
    )
    acts_for_owner = forms.BooleanField(
        label=_("It may act for me"),
        required=False,
        help_text=_(
            "Its token may then send jobs to all of your agents and use all of your state. Without this it sends jobs "
            "only to itself and keeps a state of its own, so a stolen token reaches one machine."
        ),
    )


class AgentDeleteForm(forms.Form):
    """The confirmation to delete an agent that is online."""

    force = forms.BooleanField(label=_("Delete it although it is online"), required=False)
