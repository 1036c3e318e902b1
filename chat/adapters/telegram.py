"""The Telegram bot: `/chat/telegram`, private chats only. The reply is in the answer to the webhook.

https://core.telegram.org/bots/api#setwebhook (secret_token), #making-requests-when-getting-updates.
"""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.services.identities import ChatAddress, find_identity
from chat.adapters.answers import Refused, body_of, not_configured, plain, refuse
from chat.adapters.receiving import Incoming, dismiss, receive
from kernel.errors import AppError
from kernel.strictjson import JsonObject, parse_object
from kernel.text import cut

_TEXT_CHARACTERS = 4096
_LANGUAGES = {"zh": "zh-hans", "en": "en"}


@csrf_exempt
@require_POST
def telegram(request: HttpRequest) -> HttpResponse:
    """Take one update. An update that we do not use is answered 200 too, or Telegram would repeat it for a day."""
    if not (settings.TELEGRAM_BOT_TOKEN and settings.TELEGRAM_WEBHOOK_SECRET):
        return not_configured(request)
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not hmac.compare_digest(settings.TELEGRAM_WEBHOOK_SECRET.encode(), given.encode(errors="replace")):
        return refuse(request)
    try:
        update = parse_object(body_of(request))
    except (AppError, Refused):
        return refuse(request)
    _note_blocking(_inner(update, "my_chat_member"))
    incoming = _incoming(update)
    text = receive(incoming).text if incoming is not None else ""
    if incoming is None or not text:
        return plain("")
    answer = {"method": "sendMessage", "chat_id": int(incoming.address.external_id)}
    return JsonResponse(answer | {"text": cut(text, _TEXT_CHARACTERS, "characters")})


def _incoming(update: JsonObject) -> Incoming | None:
    message = _inner(update, "message")
    chat, sender = _inner(message, "chat"), _inner(message, "from")
    text, number = message.get("text"), update.get("update_id")
    if chat.get("type") != "private" or not isinstance(text, str) or not isinstance(number, int):
        return None
    address = _address(chat)
    if address is None:
        return None
    name = sender.get("first_name")
    return Incoming(
        address=address,
        key=str(number),
        text=_as_line(text),
        language=_LANGUAGES.get(str(sender.get("language_code", ""))[:2], ""),
        display=name if isinstance(name, str) else "",
    )


def _as_line(text: str) -> str:
    """Read `/help`, `/help@our_bot` and `/start CODE` (a link that opens the bot) as lines of the language."""
    if not text.startswith("/"):
        return text
    word, *rest = text[1:].split(maxsplit=1)[:2] or [""]
    word = word.partition("@")[0]
    if word == "start":
        word = "bind" if rest else "help"
    return " ".join([word, *rest])


def _note_blocking(change: JsonObject) -> None:
    """Mark a person who has blocked the bot as unreachable."""
    address = _address(_inner(change, "chat"))
    status = _inner(change, "new_chat_member").get("status")
    identity = find_identity(address) if address is not None and isinstance(status, str) else None
    if identity is not None and status in ("kicked", "left"):
        dismiss(identity, reason="blocked")


def _address(chat: JsonObject) -> ChatAddress | None:
    number = chat.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) > 2**53:
        return None
    account = settings.TELEGRAM_BOT_TOKEN.partition(":")[0]
    return ChatAddress(platform="telegram", account=account[:64], external_id=str(number))


def _inner(data: JsonObject, name: str) -> JsonObject:
    inner = data.get(name)
    return inner if isinstance(inner, dict) else {}
