"""Every setting, in one table. `docs/settings.md` shows the same table; a test compares them.

A wrong value stops the start with the variable's name and what to write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from letserver import readers
from letserver.readers import Value, WrongValue

ROOT = Path(__file__).resolve().parent.parent


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
        read=readers.secret,
        meaning="Signs sessions and links. `make up` makes one and keeps it in the data folder.",
    ),
    Setting(
        name="LETSERVER_DATA",
        default="data",
        read=readers.folder,
        meaning="Folder for the SQLite file, credentials, logs and the demo agent.",
    ),
    Setting(
        name="LETSERVER_HOST", default="127.0.0.1", read=readers.text, meaning="Address that the web server listens on."
    ),
    Setting(name="LETSERVER_PORT", default="8000", read=readers.number(1, 65535), meaning="Port that it listens on."),
    Setting(
        name="LETSERVER_PUBLIC_URL",
        default="",
        read=readers.public_url,
        meaning="Address under which people and agents reach this server, without a path; empty: host and port.",
    ),
    Setting(
        name="LETSERVER_ALLOWED_HOSTS",
        default="",
        read=readers.names,
        meaning="More host names that requests may carry, with commas; localhost and the public URL's host always may.",
    ),
    Setting(
        name="LETSERVER_HSTS_SUBDOMAINS",
        default="off",
        read=readers.switch,
        meaning="on: with an https public URL, HSTS covers all subdomains of its host, and browsers may preload it.",
    ),
    Setting(
        name="LETSERVER_TRUSTED_PROXIES",
        default="0",
        read=readers.number(0, 10),
        meaning="Number of reverse proxies in front that append to X-Forwarded-For.",
    ),
    Setting(
        name="LETSERVER_DATABASE_URL",
        default="",
        read=readers.url("sqlite", "mysql", optional=True),
        meaning="mysql://user:password@host:3306/name, or empty for SQLite in the data folder. "
        "A Unix socket is written as mysql://user:password@/name?unix_socket=/path.",
    ),
    Setting(
        name="LETSERVER_REDIS_URL",
        default="redis://127.0.0.1:6379/0",
        read=readers.url("redis", "rediss", "unix"),
        meaning="redis://:password@host:6379/0, or unix://:password@/path.sock?db=0. `make up` brings its own.",
    ),
    Setting(
        name="LETSERVER_WEB_PROCESSES",
        default="1",
        read=readers.number(1, 64),
        meaning="Web processes that `make up` starts.",
    ),
    Setting(
        name="LETSERVER_COURIER_THREADS",
        default="32",
        read=readers.number(1, 64),
        meaning="How many messages and callbacks the courier that `make up` starts has on their way at once; a quarter "
        "of it is kept from targets that are slow.",
    ),
    Setting(
        name="LETSERVER_GATEWAY",
        default="on",
        read=readers.switch,
        meaning="on: the hot calls are answered by the gateway; off: everything by Django REST framework.",
    ),
    Setting(
        name="LETSERVER_LEASE_SECONDS",
        default="600",
        read=readers.number(2, 86_400),
        meaning="How long a job may go without a word from its agent before it expires.",
    ),
    Setting(
        name="LETSERVER_BEAT_LEASE_SECONDS",
        default="120",
        read=readers.number(2, 86_400),
        meaning="The same for an agent that beats (protocol 2); it beats at least three times in this time.",
    ),
    Setting(
        name="LETSERVER_ACK_SECONDS",
        default="30",
        read=readers.number(2, 3_600),
        meaning="How long an agent that beats may take to acknowledge a job before it is offered again.",
    ),
    Setting(
        name="LETSERVER_OUTAGE_SECONDS",
        default="30",
        read=readers.number(2, 3_600),
        meaning="After how long without any gateway deadlines stand still, and move on by the gap.",
    ),
    Setting(
        name="LETSERVER_OFFLINE_SECONDS",
        default="180",
        read=readers.number(2, 86_400),
        meaning="How long an agent may be silent before it counts as offline.",
    ),
    Setting(
        name="LETSERVER_USER_CALLS_A_MINUTE",
        default="60",
        read=readers.number(0, 1_000_000),
        meaning="How many calls a minute a user may make with all their tokens; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_AGENT_CALLS_A_MINUTE",
        default="600",
        read=readers.number(0, 1_000_000),
        meaning="How many calls a minute one agent may make; 0: any number. Agents of staff have no limit.",
    ),
    Setting(
        name="LETSERVER_AUTH_FAILURES_A_MINUTE",
        default="20",
        read=readers.number(0, 1_000_000),
        meaning="How many unknown tokens, and how many passwords, an address may try in a minute; 0: any number.",
    ),
    Setting(
        name="LETSERVER_VISITOR_PAGES_A_MINUTE",
        default="180",
        read=readers.number(0, 1_000_000),
        meaning="How many pages a minute an address may ask of a web process without being signed in; 0: any number.",
    ),
    Setting(
        name="LETSERVER_AGENTS_PER_USER",
        default="10",
        read=readers.number(0, 1_000_000),
        meaning="How many agents a user may have, not counting those that posters brought; 0: any number. "
        "Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_SCHEDULES_PER_USER",
        default="100",
        read=readers.number(0, 1_000_000),
        meaning="How many schedules a user may have; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_TOKENS_PER_USER",
        default="50",
        read=readers.number(0, 1_000_000),
        meaning="How many tokens of a user may work at a time; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_QUEUES_PER_USER",
        default="200",
        read=readers.number(0, 1_000_000),
        meaning="How many queues a user may have; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_WAITING_JOBS_PER_USER",
        default="10000",
        read=readers.number(0, 100_000_000),
        meaning="How many jobs of a user may wait for an agent; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_DELAYED_JOBS_PER_USER",
        default="10000",
        read=readers.number(0, 100_000_000),
        meaning="How many delayed jobs of a user may be scheduled; 0: any number. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_JOBS_KEPT_PER_USER",
        default="100000",
        read=readers.number(0, 1_000_000_000),
        meaning="How many finished jobs of a user are kept; older ones are deleted. 0: any number. "
        "Jobs of staff are kept whatever their number.",
    ),
    Setting(
        name="LETSERVER_JOBS_KEPT_DAYS",
        default="90",
        read=readers.number(0, 36_500),
        meaning="For how many days after its end a job is kept, with its events, output and log; 0: without limit.",
    ),
    Setting(
        name="LETSERVER_SHORTEST_SCHEDULE_SECONDS",
        default="10",
        read=readers.number(1, 86_400),
        meaning="The shortest time between two runs of a user's schedule, in seconds. Staff have no limit.",
    ),
    Setting(
        name="LETSERVER_SEALING_KEYS",
        default="",
        read=readers.fernet_keys,
        meaning="Fernet keys, with commas, that seal secrets in the database: the first one seals, all open. "
        "Empty: made of the secret key.",
    ),
    Setting(
        name="LETSERVER_OUTBOUND_ALLOW",
        default="",
        read=readers.networks,
        meaning="Networks of the intranet that callbacks and webhooks may reach, such as 192.168.1.0/24, with commas; "
        "any port there.",
    ),
    Setting(
        name="LETSERVER_OUTBOUND_HTTP",
        default="off",
        read=readers.switch,
        meaning="on: callbacks and webhooks may go to http:// addresses too, not to https:// alone.",
    ),
    Setting(
        name="LETSERVER_SYS_TOKEN",
        default="",
        read=readers.optional_secret,
        meaning="Token of the upstream program for /sys, at least 32 characters; empty: /sys is off.",
    ),
    Setting(
        name="LETSERVER_EVENTS",
        default="off",
        read=readers.switch,
        meaning="on: every move of a job and every message is written to two Redis streams for upstream programs.",
    ),
    Setting(
        name="LETSERVER_EMAIL_URL",
        default="",
        read=readers.url("smtp", "smtps", "smtp+tls", "smtp+ssl", "consolemail", "filemail", optional=True),
        meaning="smtp+tls://user:password@host:587 for the e-mail channel; empty: there is none.",
    ),
    Setting(
        name="LETSERVER_EMAIL_FROM",
        default="",
        read=readers.text,
        meaning="Sender of e-mail: LetServer <bot@example.com>.",
    ),
    Setting(
        name="LETSERVER_TEMPLATES_A_DAY",
        default="100",
        read=readers.number(1, 1_000_000),
        meaning="WeChat template messages that one user may be sent a day.",
    ),
    Setting(
        name="LETSERVER_TEXTS_A_WINDOW",
        default="20",
        read=readers.number(1, 1_000_000),
        meaning="WeChat texts that may follow a message of the user within 48 hours. The ledger learns a lower number.",
    ),
    Setting(
        name="LETSERVER_MERGE_SECONDS",
        default="10",
        read=readers.number(0, 86_400),
        meaning="Within how long the same message again is counted instead of sent; 0: never.",
    ),
    Setting(
        name="LETSERVER_WECHAT_KIND",
        default="",
        read=readers.one_of("", "service", "subscription", "test"),
        meaning="The official account: service, subscription or test; empty: there is none.",
    ),
    Setting(name="LETSERVER_WECHAT_APPID", default="", read=readers.text, meaning="AppID of the official account."),
    Setting(name="LETSERVER_WECHAT_SECRET", default="", read=readers.text, meaning="Its AppSecret."),
    Setting(name="LETSERVER_WECHAT_TOKEN", default="", read=readers.text, meaning="Token of its server configuration."),
    Setting(
        name="LETSERVER_WECHAT_AES_KEY", default="", read=readers.aes_key, meaning="Its EncodingAESKey, 43 characters."
    ),
    Setting(
        name="LETSERVER_WECHAT_PLAIN_COMMANDS",
        default="off",
        read=readers.switch,
        meaning="on: commands are taken from messages that came unencrypted too. For test accounts only.",
    ),
    Setting(
        name="LETSERVER_CALLBACK_AGE_SECONDS",
        default="300",
        read=readers.number(10, 86_400),
        meaning="How old, or ahead of our clock, what WeChat and WeCom send us may be.",
    ),
    Setting(
        name="LETSERVER_WECHAT_STABLE_TOKEN",
        default="on",
        read=readers.switch,
        meaning="on: the access token comes from stable_token; off: from token.",
    ),
    Setting(
        name="LETSERVER_WECHAT_TEMPLATE_INFO",
        default="",
        read=readers.text,
        meaning="Template id of messages of level info.",
    ),
    Setting(
        name="LETSERVER_WECHAT_TEMPLATE_WARNING",
        default="",
        read=readers.text,
        meaning="Template id of warnings and errors; empty: that of info.",
    ),
    Setting(
        name="LETSERVER_WECHAT_TEMPLATE_FIELDS",
        default='{"thing1": "title", "thing2": "text", "phrase3": "level", "time4": "time"}',
        read=readers.words,
        meaning="The contents of the template fields, as JSON: title, text, level, source, agent or time.",
    ),
    Setting(
        name="LETSERVER_WECOM_CORP_ID",
        default="",
        read=readers.text,
        meaning="CorpID of WeCom, for the WeCom app; empty: none.",
    ),
    Setting(name="LETSERVER_WECOM_AGENT_ID", default="", read=readers.text, meaning="AgentId of the WeCom app."),
    Setting(name="LETSERVER_WECOM_SECRET", default="", read=readers.text, meaning="Its Secret."),
    Setting(name="LETSERVER_WECOM_TOKEN", default="", read=readers.text, meaning="Token of its callback."),
    Setting(
        name="LETSERVER_WECOM_AES_KEY", default="", read=readers.aes_key, meaning="EncodingAESKey of its callback."
    ),
    Setting(
        name="LETSERVER_TELEGRAM_BOT_TOKEN",
        default="",
        read=readers.text,
        meaning="Token of the Telegram bot; empty: none.",
    ),
    Setting(
        name="LETSERVER_TELEGRAM_WEBHOOK_SECRET",
        default="",
        read=readers.text,
        meaning="secret_token given to setWebhook; Telegram sends it with every update.",
    ),
    Setting(
        name="LETSERVER_SLACK_SIGNING_SECRET",
        default="",
        read=readers.text,
        meaning="Signing secret of the Slack app with the slash command; empty: none.",
    ),
    Setting(
        name="LETSERVER_SLACK_BOT_TOKEN",
        default="",
        read=readers.text,
        meaning="Bot token (xoxb-…) of that app, to write to people who were bound; empty: they are only answered.",
    ),
    *(
        Setting(name=f"LETSERVER_{name}_BASE", default=default, read=readers.base_url, meaning=f"Address of {what}.")
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
        read=readers.language,
        meaning="Language of pages for browsers that ask for neither Chinese nor English: zh-hans or en.",
    ),
    Setting(
        name="LETSERVER_TIME_ZONE",
        default="Asia/Shanghai",
        read=readers.zone,
        meaning="Time zone in which pages show times.",
    ),
    Setting(name="LETSERVER_LOG_LEVEL", default="INFO", read=readers.level, meaning="DEBUG, INFO, WARNING or ERROR."),
    Setting(
        name="LETSERVER_DEBUG",
        default="off",
        read=readers.switch,
        meaning="on: Django's debug pages. Never on a server that untrusted clients can reach.",
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


INTERNAL_NAMES = frozenset({"LETSERVER_VENV", "LETSERVER_TEST_LANE", "LETSERVER_TEST_TEMPLATES", "LETSERVER_FAILPOINT"})
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
