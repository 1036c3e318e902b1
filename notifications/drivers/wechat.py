"""The official account of WeChat, of a person who follows it: template messages and customer-service texts.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html and
…/Service_Center_messages.html. The account is this server's (LETSERVER_WECHAT_…), the channel comes with following it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel.clock import approximate_now
from notifications.drivers.base import ChannelError, Driver, Fault, Receipt, Trouble
from notifications.drivers.parcel import Parcel
from notifications.wechat.client import OfficialAccount, official_account
from notifications.wechat.fields import field_value

logger = logging.getLogger(__name__)

# WeChat's days are Beijing's.
_BEIJING = ZoneInfo("Asia/Shanghai")
_LEVELS = {"info": "通知", "warning": "警告", "error": "错误"}
_COLOURS = {"info": "#1677FF", "warning": "#E5484D", "error": "#E5484D"}
_MINUTE = 60.0
# Only the administrator can fix these. As AUTH they would switch off the channel of every person.
_ADMIN_CODES = frozenset({"40002", "40013", "40125", "40164", "48001", "48004", "89501", "89503", "40037"})


class WeChatForm(forms.Form):
    """Nothing to fill in."""


class WeChat(Driver):
    """`template` reaches a follower at any time; `text` only after they have written."""

    name = "wechat"
    label = _("WeChat official account")
    form = WeChatForm
    longest, unit = 2048, "bytes"
    ways = ("template", "text")
    personal = True
    limits = _("100 templates a day and person; 20 texts within 48 hours of a message of the person, fewer if learnt")
    troubles = (
        Trouble(code="-1", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="40001", kind=Fault.RETRY, meaning=_("the access token was refused twice")),
        Trouble(code="40014", kind=Fault.RETRY, meaning=_("the access token was refused twice")),
        Trouble(code="42001", kind=Fault.RETRY, meaning=_("the access token was refused twice")),
        Trouble(code="40002", kind=Fault.PERMANENT, meaning=_("this server asks for a token in a wrong way")),
        Trouble(code="40003", kind=Fault.AUTH, meaning=_("the account does not know this person")),
        Trouble(code="40013", kind=Fault.PERMANENT, meaning=_("this server's AppID is wrong")),
        Trouble(code="40037", kind=Fault.PERMANENT, meaning=_("this server's template id is wrong")),
        Trouble(code="40125", kind=Fault.PERMANENT, meaning=_("this server's AppSecret is wrong")),
        Trouble(code="40164", kind=Fault.PERMANENT, meaning=_("this server's address is not on the account's list")),
        Trouble(code="43004", kind=Fault.AUTH, meaning=_("the person does not follow the account any more")),
        Trouble(code="43101", kind=Fault.PERMANENT, meaning=_("the person refuses template messages")),
        Trouble(code="45002", kind=Fault.PERMANENT, meaning=_("the message is too long")),
        Trouble(code="45009", kind=Fault.QUOTA, meaning=_("the account's calls of the day are used up")),
        Trouble(
            code="45011",
            kind=Fault.QUOTA,
            meaning=_("too many calls in a minute"),
            retry_after_seconds=_MINUTE,
        ),
        Trouble(code="45015", kind=Fault.WINDOW, meaning=_("the person has not written for 48 hours")),
        Trouble(code="45047", kind=Fault.QUOTA, meaning=_("the texts that a message allows are used up")),
        Trouble(code="47001", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="47003", kind=Fault.PERMANENT, meaning=_("a field of the template does not take its value")),
        Trouble(code="48001", kind=Fault.PERMANENT, meaning=_("the account may not do this")),
        Trouble(code="48004", kind=Fault.PERMANENT, meaning=_("the account was barred from this")),
        Trouble(code="89501", kind=Fault.PERMANENT, meaning=_("the account's admin must allow this server's address")),
        Trouble(code="89503", kind=Fault.PERMANENT, meaning=_("the account's admin must allow this server's address")),
    )

    def ways_for(self, way: str) -> tuple[str, ...]:
        """Subscription accounts have no templates. `auto`: a text while one may be sent, else a template."""
        if server.WECHAT_KIND == "subscription":
            return ("text",)
        return {"template": ("template",), "text": ("text",), "auto": ("text", "template")}.get(way, self.ways)

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Send by the parcel's way to `parcel.address`, an openid."""
        account = official_account()
        if account is None:
            raise ChannelError(Fault.PERMANENT, "no account")
        try:
            return _send_text(self, account, parcel) if parcel.way == "text" else _send_template(account, parcel)
        except ChannelError as error:
            if error.code in _ADMIN_CODES:
                logger.error("WeChat refuses this server", extra={"action": "wechat.refused", "code": error.code})
            if error.kind is not Fault.PERMANENT:
                raise
            raise self.refuse(error.code, retry_after_seconds=_until_tomorrow(error.code)) from None


def _send_text(driver: WeChat, account: OfficialAccount, parcel: Parcel) -> Receipt:
    text, note = driver.fit(parcel.lines(), parcel)
    account.send_text(parcel.address, text)
    return Receipt(note=note)


def _send_template(account: OfficialAccount, parcel: Parcel) -> Receipt:
    values = {
        "title": parcel.heading() or parcel.words(),
        "text": parcel.words(),
        "level": _LEVELS.get(parcel.level, ""),
        "source": parcel.source,
        "agent": parcel.source,
        "time": "",
    }
    colour = parcel.colour or _COLOURS.get(parcel.level, _COLOURS["info"])
    # Only test accounts still show colours.
    coloured = {"color": colour} if server.WECHAT_KIND == "test" else {}
    fields = {
        name: {"value": field_value(name, values.get(what, ""), at=parcel.at), **coloured}
        for name, what in server.WECHAT_TEMPLATE_FIELDS.items()
    }
    info = parcel.level == "info"
    template = server.WECHAT_TEMPLATE_INFO if info else server.WECHAT_TEMPLATE_WARNING
    page = parcel.detail_url or parcel.url
    message_id = account.send_template(parcel.address, template, fields, url=page, message_id=parcel.delivery_id)
    return Receipt(provider_id=message_id)


def _until_tomorrow(code: str) -> float | None:
    if code != "45009":
        return None
    now = approximate_now().astimezone(_BEIJING)
    tomorrow = dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), _BEIJING)
    return (tomorrow - now).total_seconds() + _MINUTE
