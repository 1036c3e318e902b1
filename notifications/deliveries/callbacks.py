"""Send a callback: POST the JSON of its row to the target, signed as Standard Webhooks specifies."""

from __future__ import annotations

import json

from kernel import outbound
from notifications.deliveries.claimed import Claimed
from notifications.deliveries.signing import signing_keys
from notifications.drivers.base import ChannelError, Fault, Receipt, no_answer, retry_after
from notifications.drivers.webhook import signed_headers


def send_callback(claimed: Claimed) -> Receipt:
    """POST a callback. Raises ChannelError: AUTH for 410, which shuts the address, and RETRY for all but 2xx."""
    delivery = claimed.delivery
    body = json.dumps(delivery.payload, ensure_ascii=False).encode()
    headers = signed_headers(signing_keys(delivery.owner_id), delivery_id=delivery.pk, body=body)
    headers["Content-Type"] = "application/json; charset=utf-8"
    try:
        answer = outbound.post(delivery.target, body=body, headers=headers)
    except outbound.OutboundError as error:
        raise no_answer(error) from None
    code = f"http {answer.status}"
    if answer.status == 410:
        raise ChannelError(Fault.AUTH, code)
    if not 200 <= answer.status < 300:
        raise ChannelError(Fault.RETRY, code, retry_after_seconds=retry_after(answer))
    return Receipt(code=code)
