"""The official account: `/chat/wechat`. Text, menu, follow and unfollow, scanned QR codes.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html and
Receiving_event_pushes.html. The platform waits five seconds and then repeats, so slow commands are answered later.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.models import ChatIdentity
from accounts.services.identities import ChatAddress, find_identity, meet_identity
from chat.adapters.answers import Refused, body_of, not_configured, plain, pushed, query_of, refuse
from chat.adapters.receiving import dismiss, say, welcome
from chat.commands.interpret import SILENCE
from chat.commands.registry import Reply
from chat.models import InboundMessage
from chat.services.inbound import respond_once
from chat.services.invitations import reward_invitation
from notifications.deliveries.finish import refuse_sent
from notifications.quota.chat_credit import open_credit
from notifications.wechat.callback import BadCallback, Push, wechat_callback

logger = logging.getLogger(__name__)

_LOGIN, _INVITATION = "login", "inv"


@csrf_exempt
@require_http_methods(["GET", "POST"])
def wechat(request: HttpRequest) -> HttpResponse:
    """Answer the platform's check of the address (GET), or take a push (POST)."""
    callback = wechat_callback()
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
    """Answer a push once. With an encryption key a plain push is ignored, because anyone could have forged it."""
    if not push.sender or (settings.WECHAT_AES_KEY and not _trusted(push)):
        logger.warning("push in the clear ignored", extra={"action": "chat.plain_ignored"})
        return SILENCE
    return respond_once(
        platform="wechat",
        account=settings.WECHAT_APPID,
        key=push.dedupe_key,
        respond=lambda row: _respond(push, row),
    )


def _trusted(push: Push) -> bool:
    return push.sealed or settings.WECHAT_PLAIN_COMMANDS


def _respond(push: Push, row: InboundMessage) -> Reply:
    address = ChatAddress(platform="wechat", account=settings.WECHAT_APPID, external_id=push.sender)
    if push.event == "unsubscribe":
        return _left(address)
    if push.event == "templatesendjobfinish":
        return _template_ended(push, address)
    if push.event not in ("", "subscribe", "scan", "click"):
        return SILENCE
    identity, is_new = _met(address)
    match push.event:
        case "subscribe" | "scan":
            otherwise = say(identity, "help", row=row) if push.event == "subscribe" else SILENCE
            return _scanned(push, identity, row, is_new=is_new) or otherwise
        case "click":
            return say(identity, push.event_key, row=row, sealed=_trusted(push))
    # Any message of a person, also a picture, lets us write to them for two days.
    open_credit(owner_id=identity.owner_id, account=address.account, address=address.external_id, now=row.came_at)
    if push.kind != "text":
        return SILENCE
    return say(identity, push.text, row=row, sealed=_trusted(push))


def _met(address: ChatAddress) -> tuple[ChatIdentity, bool]:
    """Return the identity at that address. A new person gets a user; a returning one becomes reachable again."""
    identity, is_new = meet_identity(address, language=settings.LANGUAGE_CODE)
    if is_new or not identity.active:
        welcome(identity)
    return identity, is_new


def _left(address: ChatAddress) -> Reply:
    identity = find_identity(address)
    if identity is not None:
        dismiss(identity, reason="unfollowed")
    return SILENCE


def _template_ended(push: Push, address: ChatAddress) -> Reply:
    """Mark an accepted template message as failed if the platform now reports that it was not delivered."""
    status = push.fields.get("Status", "")
    if status and status != "success":
        number = push.fields.get("MsgID", "")
        refuse_sent(account=address.account, address=address.external_id, provider_id=number, code=status)
    return SILENCE


def _scanned(push: Push, identity: ChatIdentity, row: InboundMessage, *, is_new: bool) -> Reply | None:
    """Run the command of a scanned QR code; None if it has none that is answered."""
    kind, _colon, subject = push.event_key.partition(":")
    if kind == _INVITATION and is_new:
        reward_invitation(inviter_id=subject, invited=identity.owner)
    if kind != _LOGIN or not subject:
        return None
    return say(identity, f"login {subject}", row=row, sealed=_trusted(push))
