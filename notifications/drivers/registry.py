"""All drivers, in the order in which pages show them."""

from __future__ import annotations

import functools

from notifications.drivers.bark import Bark
from notifications.drivers.base import Driver
from notifications.drivers.dingtalk import DingTalk
from notifications.drivers.discord import Discord
from notifications.drivers.email import Email
from notifications.drivers.feishu import Feishu
from notifications.drivers.gotify import Gotify
from notifications.drivers.ntfy import Ntfy
from notifications.drivers.pushplus import PushPlus
from notifications.drivers.serverchan import ServerChan
from notifications.drivers.slack import Slack
from notifications.drivers.teams import Teams
from notifications.drivers.telegram import Telegram
from notifications.drivers.webhook import Webhook
from notifications.drivers.wechat import WeChat
from notifications.drivers.wecom_app import WeComApp
from notifications.drivers.wecom_robot import WeComRobot
from notifications.drivers.wxpusher import WxPusher

_DRIVERS: tuple[type[Driver], ...] = (
    WeChat,
    WeComRobot,
    WeComApp,
    Feishu,
    DingTalk,
    Email,
    Webhook,
    Telegram,
    Slack,
    Discord,
    Teams,
    Bark,
    PushPlus,
    ServerChan,
    WxPusher,
    Ntfy,
    Gotify,
)


@functools.cache
def all_drivers() -> dict[str, Driver]:
    """Return every driver by its name."""
    return {driver.name: driver() for driver in _DRIVERS}


def driver_of(name: str) -> Driver:
    """Return one driver. Raises KeyError."""
    return all_drivers()[name]
