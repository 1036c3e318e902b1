"""Forms about agents. What a name may be is the services' business; these only collect."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from agents.models import NAME_LENGTH, REMARK_LENGTH


class AgentForm(forms.Form):
    """How an agent is called."""

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


class AgentDeleteForm(forms.Form):
    """Whether an agent goes although it is online."""

    force = forms.BooleanField(label=_("Delete it although it is online"), required=False)
