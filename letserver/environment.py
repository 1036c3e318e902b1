"""Every setting, in one table. `docs/settings.md` shows the same table; a test compares them.

A wrong value stops the start with the variable's name and what to write.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent

Value = str | int | bool | list[str] | Path


class WrongValue(ValueError):
    """The text of a variable is not what it takes; the message says what to write."""


def _text(raw: str) -> str:
    return raw


def _secret(raw: str) -> str:
    if len(raw) < 32:
        raise WrongValue("at least 32 random characters, for example from: openssl rand -base64 48")
    return raw


def _optional_secret(raw: str) -> str:
    return _secret(raw) if raw else raw


def _switch(raw: str) -> bool:
    if raw.lower() not in ("on", "off"):
        raise WrongValue("on or off")
    return raw.lower() == "on"


def _folder(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


def _names(raw: str) -> list[str]:
    return [name.strip() for name in raw.split(",") if name.strip()]


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
            raise WrongValue(f"a whole number from {low} to {high}")
        return int(raw)

    return read


def _url(*schemes: str, optional: bool = False) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if optional and not raw:
            return raw
        if urlsplit(raw).scheme not in schemes:
            raise WrongValue("a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return raw

    return read


def _base(raw: str) -> str:
    """The address of a platform; without TLS only on this machine, where a simulator may stand in for it."""
    parts = urlsplit(raw)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and local)):
        raise WrongValue("a URL that begins with https:// (http:// only for this machine)")
    return raw.rstrip("/")


def _networks(raw: str) -> list[str]:
    names = _names(raw)
    try:
        return [str(ipaddress.ip_network(name)) for name in names]
    except ValueError as error:
        raise WrongValue("networks such as 192.168.1.0/24, with commas") from error


def _fernet_keys(raw: str) -> list[str]:
    for key in _names(raw):
        try:
            usable = len(base64.urlsafe_b64decode(key)) == 32
        except (ValueError, binascii.Error):
            usable = False
        if not usable:
            raise WrongValue("keys of 32 random bytes in URL-safe base64, with commas; the first one seals")
    return _names(raw)


def _one_of(*words: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw not in words:
            raise WrongValue(" or ".join(word or "nothing" for word in words))
        return raw

    return read


def _words(raw: str) -> str:
    try:
        read = json.loads(raw)
    except ValueError as error:
        raise WrongValue('JSON such as {"thing1": "title"}') from error
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise WrongValue('JSON such as {"thing1": "title"}')
    return raw


def _aes_key(raw: str) -> str:
    if raw and not re.fullmatch(r"[0-9A-Za-z]{43}", raw):
        raise WrongValue("the 43 letters and digits of the EncodingAESKey")
    return raw


def _language(raw: str) -> str:
    if raw not in ("zh-hans", "en"):
        raise WrongValue("zh-hans or en")
    return raw


def _zone(raw: str) -> str:
    if raw not in available_timezones():
        raise WrongValue("a time zone name such as Asia/Shanghai")
    return raw


def _level(raw: str) -> str:
    if raw not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise WrongValue("DEBUG, INFO, WARNING or ERROR")
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable. `default` None means that it must be set."""

    name: str
    default: str | None
    read: Callable[[str], Value]
    meaning: str


SETTINGS = (
    Setting(
        name="LETSERVER_SECRET_KEY",
        default=None,
        read=_secret,
        meaning="Signs sessions and links. `make up` makes one and keeps it in the data folder.",
    ),
    Setting(
        name="LETSERVER_DATA",
        default="data",
        read=_folder,
        meaning="Folder for the SQLite file, credentials, logs and the demo agent.",
    ),
    Setting(name="LETSERVER_HOST", default="127.0.0.1", read=_text, meaning="Address that the web server listens on."),
    Setting(name="LETSERVER_PORT", default="8000", read=_number(1, 65535), meaning="Port that it listens on."),
    Setting(
        name="LETSERVER_PUBLIC_URL",
        default="",
        read=_url("http", "https", optional=True),
        meaning="Address under which people and agents reach this server; empty: made of host and port.",
    ),
    Setting(
        name="LETSERVER_ALLOWED_HOSTS",
        default="localhost,127.0.0.1,[::1]",
        read=_names,
        meaning="Host names that requests may carry, with commas; the public URL's host is always allowed.",
    ),
    Setting(
        name="LETSERVER_TRUSTED_PROXIES",
        default="0",
        read=_number(0, 10),
        meaning="How many reverse proxies stand in front and append to X-Forwarded-For.",
    ),
    Setting(
        name="LETSERVER_DATABASE_URL",
        default="",
        read=_url("sqlite", "mysql", optional=True),
        meaning="mysql://user:password@host:3306/name, or empty for SQLite in the data folder. "
        "A Unix socket is written as mysql://user:password@/name?unix_socket=/path.",
    ),
    Setting(
        name="LETSERVER_REDIS_URL",
        default="redis://127.0.0.1:6379/0",
        read=_url("redis", "rediss", "unix"),
        meaning="redis://:password@host:6379/0, or unix://:password@/path.sock?db=0. `make up` brings its own.",
    ),
    Setting(
        name="LETSERVER_WEB_PROCESSES", default="1", read=_number(1, 64), meaning="Web processes that `make up` starts."
    ),
    Setting(
        name="LETSERVER_COURIER_THREADS",
        default="32",
        read=_number(1, 64),
        meaning="How many messages and callbacks the courier that `make up` starts has on their way at once; a quarter "
        "of it is kept from targets that are slow.",
    ),
    Setting(
        name="LETSERVER_GATEWAY",
        default="on",
        read=_switch,
        meaning="on: the hot calls are answered by the gateway; off: everything by Django REST framework.",
    ),
    Setting(
        name="LETSERVER_LEASE_SECONDS",
        default="600",
        read=_number(2, 86_400),
        meaning="How long a job may go without a word from its agent before it expires.",
    ),
    Setting(
        name="LETSERVER_BEAT_LEASE_SECONDS",
        default="120",
        read=_number(2, 86_400),
        meaning="The same for an agent that beats (protocol 2); it beats at least three times in this time.",
    ),
    Setting(
        name="LETSERVER_ACK_SECONDS",
        default="30",
        read=_number(2, 3_600),
        meaning="How long an agent that beats may take to acknowledge a job before it is offered again.",
    ),
    Setting(
        name="LETSERVER_OUTAGE_SECONDS",
        default="30",
        read=_number(2, 3_600),
        meaning="After how long without any gateway deadlines stand still, and move on by the gap.",
    ),
    Setting(
        name="LETSERVER_OFFLINE_SECONDS",
        default="180",
        read=_number(2, 86_400),
        meaning="How long an agent may be silent before it counts as offline.",
    ),
    Setting(
        name="LETSERVER_USER_CALLS_A_MINUTE",
        default="60",
        read=_number(0, 1_000_000),
        meaning="How many calls a minute one user token may make; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_AGENT_CALLS_A_MINUTE",
        default="600",
        read=_number(0, 1_000_000),
        meaning="How many calls a minute one agent token may make; 0: any number. Agents of staff have no limit.",
    ),
    Setting(
        name="LETSERVER_AUTH_FAILURES_A_MINUTE",
        default="20",
        read=_number(0, 1_000_000),
        meaning="How many unknown tokens a minute one address may try; 0: any number.",
    ),
    Setting(
        name="LETSERVER_SEALING_KEYS",
        default="",
        read=_fernet_keys,
        meaning="Fernet keys, with commas, that seal secrets in the database: the first one seals, all open. "
        "Empty: made of the secret key.",
    ),
    Setting(
        name="LETSERVER_OUTBOUND_ALLOW",
        default="",
        read=_networks,
        meaning="Networks of the intranet that callbacks and webhooks may reach, such as 192.168.1.0/24, with commas; "
        "any port there.",
    ),
    Setting(
        name="LETSERVER_OUTBOUND_HTTP",
        default="off",
        read=_switch,
        meaning="on: callbacks and webhooks may go to http:// addresses too, not to https:// alone.",
    ),
    Setting(
        name="LETSERVER_SYS_TOKEN",
        default="",
        read=_optional_secret,
        meaning="Token of the upstream program for /sys, at least 32 characters; empty: /sys is off.",
    ),
    Setting(
        name="LETSERVER_EVENTS",
        default="off",
        read=_switch,
        meaning="on: every move of a job and every message is told on two Redis streams to upstream programs.",
    ),
    Setting(
        name="LETSERVER_EMAIL_URL",
        default="",
        read=_url("smtp", "smtps", "smtp+tls", "smtp+ssl", "consolemail", "filemail", optional=True),
        meaning="smtp+tls://user:password@host:587 for the e-mail channel; empty: there is none.",
    ),
    Setting(
        name="LETSERVER_EMAIL_FROM", default="", read=_text, meaning="Sender of e-mail: LetServer <bot@example.com>."
    ),
    Setting(
        name="LETSERVER_TEMPLATES_A_DAY",
        default="100",
        read=_number(1, 1_000_000),
        meaning="WeChat template messages that one user may be sent a day.",
    ),
    Setting(
        name="LETSERVER_TEXTS_A_WINDOW",
        default="20",
        read=_number(1, 1_000_000),
        meaning="WeChat texts that may follow a message of the user within 48 hours. The ledger learns a lower number.",
    ),
    Setting(
        name="LETSERVER_MERGE_SECONDS",
        default="60",
        read=_number(0, 86_400),
        meaning="Within how long the same message again is counted instead of sent; 0: never.",
    ),
    Setting(
        name="LETSERVER_WECHAT_KIND",
        default="",
        read=_one_of("", "service", "subscription", "test"),
        meaning="The official account: service, subscription or test; empty: there is none.",
    ),
    Setting(name="LETSERVER_WECHAT_APPID", default="", read=_text, meaning="AppID of the official account."),
    Setting(name="LETSERVER_WECHAT_SECRET", default="", read=_text, meaning="Its AppSecret."),
    Setting(name="LETSERVER_WECHAT_TOKEN", default="", read=_text, meaning="Token of its server configuration."),
    Setting(name="LETSERVER_WECHAT_AES_KEY", default="", read=_aes_key, meaning="Its EncodingAESKey, 43 characters."),
    Setting(
        name="LETSERVER_WECHAT_PLAIN_COMMANDS",
        default="off",
        read=_switch,
        meaning="on: commands are taken from messages that came unencrypted too. For test accounts only.",
    ),
    Setting(
        name="LETSERVER_CALLBACK_AGE_SECONDS",
        default="300",
        read=_number(10, 86_400),
        meaning="How old, or ahead of our clock, what WeChat and WeCom send us may be.",
    ),
    Setting(
        name="LETSERVER_WECHAT_STABLE_TOKEN",
        default="on",
        read=_switch,
        meaning="on: the access token comes from stable_token; off: from token.",
    ),
    Setting(
        name="LETSERVER_WECHAT_TEMPLATE_INFO", default="", read=_text, meaning="Template id of messages of level info."
    ),
    Setting(
        name="LETSERVER_WECHAT_TEMPLATE_WARNING",
        default="",
        read=_text,
        meaning="Template id of warnings and errors; empty: that of info.",
    ),
    Setting(
        name="LETSERVER_WECHAT_TEMPLATE_FIELDS",
        default='{"thing1": "title", "thing2": "text", "phrase3": "level", "time4": "time"}',
        read=_words,
        meaning="What stands in the fields of the templates, as JSON: title, text, level, source, agent or time.",
    ),
    Setting(
        name="LETSERVER_WECOM_CORP_ID",
        default="",
        read=_text,
        meaning="CorpID of WeCom, for the WeCom app; empty: none.",
    ),
    Setting(name="LETSERVER_WECOM_AGENT_ID", default="", read=_text, meaning="AgentId of the WeCom app."),
    Setting(name="LETSERVER_WECOM_SECRET", default="", read=_text, meaning="Its Secret."),
    Setting(name="LETSERVER_WECOM_TOKEN", default="", read=_text, meaning="Token of its callback."),
    Setting(name="LETSERVER_WECOM_AES_KEY", default="", read=_aes_key, meaning="EncodingAESKey of its callback."),
    Setting(
        name="LETSERVER_TELEGRAM_BOT_TOKEN", default="", read=_text, meaning="Token of the Telegram bot; empty: none."
    ),
    Setting(
        name="LETSERVER_TELEGRAM_WEBHOOK_SECRET",
        default="",
        read=_text,
        meaning="secret_token given to setWebhook; Telegram sends it with every update.",
    ),
    Setting(
        name="LETSERVER_SLACK_SIGNING_SECRET",
        default="",
        read=_text,
        meaning="Signing secret of the Slack app with the slash command; empty: none.",
    ),
    Setting(
        name="LETSERVER_SLACK_BOT_TOKEN",
        default="",
        read=_text,
        meaning="Bot token (xoxb-…) of that app, to write to people who were bound; empty: they are only answered.",
    ),
    *(
        Setting(name=f"LETSERVER_{name}_BASE", default=default, read=_base, meaning=f"Address of {what}.")
        for name, default, what in (
            ("WECHAT_API", "https://api.weixin.qq.com", "the WeChat API"),
            ("WECHAT_MP", "https://mp.weixin.qq.com", "the pictures of WeChat's QR codes"),
            ("WECOM_API", "https://qyapi.weixin.qq.com", "the WeCom API"),
            ("FEISHU", "https://open.feishu.cn", "the Feishu API"),
            ("DINGTALK", "https://oapi.dingtalk.com", "the DingTalk API"),
            ("TELEGRAM", "https://api.telegram.org", "the Telegram API"),
            ("SLACK", "https://hooks.slack.com", "Slack's webhooks"),
            ("SLACK_API", "https://slack.com", "the Slack API"),
            ("DISCORD", "https://discord.com", "Discord's webhooks"),
            ("PUSHPLUS", "https://www.pushplus.plus", "PushPlus"),
            ("SERVERCHAN", "https://sctapi.ftqq.com", "ServerChan"),
            ("WXPUSHER", "https://wxpusher.zjiecode.com", "WxPusher"),
        )
    ),
    Setting(
        name="LETSERVER_LANGUAGE",
        default="zh-hans",
        read=_language,
        meaning="Language of pages for browsers that ask for neither Chinese nor English: zh-hans or en.",
    ),
    Setting(
        name="LETSERVER_TIME_ZONE", default="Asia/Shanghai", read=_zone, meaning="Time zone in which pages show times."
    ),
    Setting(name="LETSERVER_LOG_LEVEL", default="INFO", read=_level, meaning="DEBUG, INFO, WARNING or ERROR."),
    Setting(
        name="LETSERVER_DEBUG",
        default="off",
        read=_switch,
        meaning="on: Django's debug pages. Never where strangers can reach the server.",
    ),
)


def read_environment(variables: Mapping[str, str]) -> dict[str, Value]:
    """Return the value of every setting, by name.

    Raises ImproperlyConfigured that names every wrong variable, what it holds (never for a secret) and what to write;
    also for a LETSERVER_ variable that no setting has, which is most likely a slip of the pen.
    """
    values: dict[str, Value] = {}
    wrong: list[str] = []
    for setting in SETTINGS:
        raw = variables.get(setting.name, setting.default)
        if raw is None:
            wrong.append(f"{setting.name} is not set. {setting.meaning}")
            continue
        try:
            values[setting.name] = setting.read(raw)
        except WrongValue as error:
            hidden = setting.name.endswith(("_KEY", "_KEYS", "_URL", "_SECRET", "_TOKEN"))
            shown = "what it holds" if hidden else repr(raw)
            wrong.append(f"{setting.name}: {shown} does not do; write {error}.")
    known = {setting.name for setting in SETTINGS} | INTERNAL_NAMES
    for name in sorted(set(variables) - known):
        if name.startswith("LETSERVER_"):
            wrong.append(f"{name} is not a setting; docs/settings.md lists them all.")
    if wrong:
        raise ImproperlyConfigured("\n".join(wrong))
    return values


INTERNAL_NAMES = frozenset({"LETSERVER_VENV", "LETSERVER_TEST_LANE", "LETSERVER_FAILPOINT"})
"""Variables of the build and of the tests that share the prefix."""


def armed_failpoint() -> str:
    """Return which of `kernel.failpoints` a test has armed; empty: none."""
    return os.environ.get("LETSERVER_FAILPOINT", "")


def load() -> dict[str, Value]:
    """Read `.env` of the checkout, then the process's environment, which wins."""
    env_file = ROOT / ".env"
    if env_file.exists():
        environ.Env.read_env(str(env_file))
    return read_environment(os.environ)
