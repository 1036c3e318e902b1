"""The WeCom app: `/chat/wecom`. Only encrypted pushes count; a person must first bind an account (`bind CODE`).

https://developer.work.weixin.qq.com/document/path/90238 (callback), /path/90240 (events).
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.services.identities import ChatAddress
from chat.adapters.answers import Refused, body_of, not_configured, plain, pushed, query_of, refuse
from chat.adapters.receiving import Incoming, receive
from chat.commands.interpret import SILENCE
from chat.commands.registry import Reply
from notifications.wechat.callback import BadCallback, Push, wecom_callback


@csrf_exempt
@require_http_methods(["GET", "POST"])
def wecom(request: HttpRequest) -> HttpResponse:
    """Prove to the platform that we hold the key (GET), or take a push (POST)."""
    callback = wecom_callback()
    if callback is None:
        return not_configured(request)
    try:
        if request.method == "GET":
            return plain(callback.greet(query_of(request)))
        push = callback.read(query_of(request), body_of(request))
    except (BadCallback, Refused):
        return refuse(request)
    return pushed(callback.reply(push, _answer(push).text))


def _answer(push: Push) -> Reply:
    is_click = push.event == "click"
    if not push.sealed or not push.sender or not (push.kind == "text" or is_click):
        return SILENCE
    address = ChatAddress(platform="wecom", account=settings.WECOM_CORP_ID, external_id=push.sender)
    text = push.event_key if is_click else push.text
    return receive(Incoming(address=address, key=push.dedupe_key, text=text, language="zh-hans"))
