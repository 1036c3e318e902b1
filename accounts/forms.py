"""Forms about people and their tokens."""

from __future__ import annotations

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from accounts.models import TokenScope, UserToken


class LoginForm(AuthenticationForm):
    """Django's form, with the same sentence for an unknown name, a wrong password and a frozen user."""

    error_messages = {
        "invalid_login": _("Name or password is wrong."),
        "inactive": _("Name or password is wrong."),
    }


class TokenForm(forms.Form):
    """The form for a new API token."""

    scope = forms.ChoiceField(label=_("Allowed"), choices=TokenScope.choices, initial=TokenScope.JOBS)
    remark = forms.CharField(
        label=_("Remark"),
        required=False,
        max_length=UserToken._meta.get_field("remark").max_length,
        widget=forms.TextInput(attrs={"placeholder": _("Where it will be used")}),
    )
