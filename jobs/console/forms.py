"""Forms about jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from jobs.models import MESSAGE_LENGTH
from jobs.states import JobStatus
from kernel.ids import ID_LENGTH, new_id

_HOUR, _DAY = 3600, 86_400
_WAITS = [
    ("", _("do not wait")),
    (str(_HOUR), _("wait up to 1 hour")),
    (str(_DAY), _("wait up to 1 day")),
    (str(7 * _DAY), _("wait up to 7 days")),
]


class SendForm(forms.Form):
    """The form that sends a job. `key` is made when the form is drawn: sent twice by a nervous finger, it makes one
    job.
    """

    agent = forms.ChoiceField(label=_("Agent"))
    message = forms.CharField(
        label=_("Job"),
        max_length=MESSAGE_LENGTH,
        widget=forms.Textarea(
            attrs={"rows": 2, "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "data-grow": ""}
        ),
        help_text=_("What the agent's own file allows, for example: date"),
    )
    wait = forms.ChoiceField(
        label=_("If the agent is offline"),
        choices=_WAITS,
        required=False,
        help_text=_("A job that waits starts when the agent is back."),
    )
    key = forms.CharField(max_length=ID_LENGTH, widget=forms.HiddenInput)

    def __init__(self, *args: Any, agents: Iterable[Agent], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("key", new_id())
        field = self.fields["agent"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [(agent.pk, _choice_label(agent)) for agent in agents]

    def clean_message(self) -> str:
        """Undo what browsers do to line ends."""
        return str(self.cleaned_data["message"]).replace("\r\n", "\n")

    @property
    def ttl_seconds(self) -> int | None:
        """How long the job may wait for an agent that is offline; None: not at all."""
        wait = self.cleaned_data.get("wait")
        return int(wait) if wait else None


class JobFilterForm(forms.Form):
    """The filter of the list of jobs. Both fields may be empty."""

    status = forms.ChoiceField(label=_("Status"), required=False)
    agent = forms.ChoiceField(label=_("Agent"), required=False)

    def __init__(self, *args: Any, agents: Iterable[Agent], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        status, agent = self.fields["status"], self.fields["agent"]
        if isinstance(status, forms.ChoiceField) and isinstance(agent, forms.ChoiceField):
            status.choices = [("", _("every status")), *JobStatus.choices]
            agent.choices = [("", _("every agent")), *((agent.pk, agent.name) for agent in agents)]


def _choice_label(agent: Agent) -> str:
    name = f"{agent.name} ({agent.alias})" if agent.alias else agent.name
    return name if agent.online else gettext("%(name)s – offline") % {"name": name}
