"""How a callback is sent: the JSON of its row, POSTed to its target, signed as Standard Webhooks says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kernel import outbound
from notifications.deliveries.signing import signing_keys
from notifications.drivers.base import ChannelError, Fault, Receipt, no_answer, retry_after
from notifications.drivers.webhook import signed_headers

if TYPE_CHECKING:
    from notifications.deliveries.outbox import Claimed


def send_callback(claimed: Claimed) -> Receipt:
    """POST it. 2xx is taken, 410 shuts the address, anything else is tried again; raises ChannelError."""
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
