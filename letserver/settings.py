"""Django's settings, made from `environment.py`. No other module reads the environment."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

import environ
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from letserver.databases import database_from_url
from letserver.environment import ROOT, load

_values = load()


def _text(name: str) -> str:
    return cast(str, _values[name])


def _number(name: str) -> int:
    return cast(int, _values[name])


BASE_DIR = ROOT
DATA_DIR = cast(Path, _values["LETSERVER_DATA"])
SECRET_KEY = _text("LETSERVER_SECRET_KEY")
DEBUG = bool(_values["LETSERVER_DEBUG"])

# Addresses of this server
HOST, PORT = _text("LETSERVER_HOST"), _number("LETSERVER_PORT")
PUBLIC_URL = _text("LETSERVER_PUBLIC_URL").rstrip("/") or f"http://{HOST}:{PORT}"
_public = urlsplit(PUBLIC_URL)
# The product calls itself by the names of this machine, whatever else is allowed.
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    *cast(list[str], _values["LETSERVER_ALLOWED_HOSTS"]),
    *filter(None, [_public.hostname]),
]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
TRUSTED_PROXIES = _number("LETSERVER_TRUSTED_PROXIES")
_secure = _public.scheme == "https"

INSTALLED_APPS = [
    "letserver.apps.LetServerConfig",
    "letserver.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_htmx",
    "axes",
    "csp",
    "accounts.apps.AccountsConfig",
    "notifications.apps.NotificationsConfig",
    "agents.apps.AgentsConfig",
    "jobs.apps.JobsConfig",
    "chat.apps.ChatConfig",
]

MIDDLEWARE = [
    "letserver.hosts.check_host",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "letserver.visitors.note_session",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
APPEND_SLASH = False

ROOT_URLCONF = "letserver.urls"
ASGI_APPLICATION = "letserver.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["django.templatetags.i18n", "django.templatetags.static"],
        },
    }
]

# Truth
DATABASES = {
    "default": database_from_url(
        _text("LETSERVER_DATABASE_URL") or f"sqlite:///{quote(str(DATA_DIR / 'letserver.sqlite3'))}"
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

# Bells
REDIS_URL = _text("LETSERVER_REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "letserver",
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5, "IGNORE_EXCEPTIONS": True},
    }
}


def _broker_url(redis_url: str) -> str:
    """Spell the Redis URL as Celery wants it: a Unix socket has another scheme and parameter there."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    password = f":{quote(unquote(parts.password), safe='')}@" if parts.password else ""
    return f"redis+socket://{password}{parts.path}?virtual_host={database}"


CELERY_BROKER_URL = _broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 120, "global_keyprefix": "letserver:celery:"}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
# Deliveries wait for other servers, so their worker has many threads and runs no sweeps.
CELERY_TASK_ROUTES = {"notifications.deliver": {"queue": "deliveries"}}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "letserver.beat:TickScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
DJANGO_CELERY_BEAT_TZ_AWARE = True
# A tick means "look what is due": a tick too many or too few changes only the timing. After `expire_seconds`, by the
# database's clock, a worker drops it, so that one that comes back does not do the same work hundreds of times.
CELERY_BEAT_SCHEDULE = {
    "find agents gone offline": {"task": "jobs.sweep_offline", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "release delayed jobs": {"task": "jobs.release_delayed", "schedule": 1.0, "options": {"expire_seconds": 2}},
    "find delayed jobs that wait": {
        "task": "jobs.tell_of_waiting",
        "schedule": 30.0,
        "options": {"expire_seconds": 30},
    },
    "find overdue jobs": {"task": "jobs.sweep_overdue", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "find lost bells": {"task": "jobs.sweep_lost_bells", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "find due deliveries": {
        "task": "notifications.sweep_deliveries",
        "schedule": 5.0,
        "options": {"expire_seconds": 5},
    },
    "forget old deliveries": {
        "task": "notifications.sweep_old",
        "schedule": 3600.0,
        "options": {"expire_seconds": 600},
    },
    "find unanswered chat": {"task": "chat.sweep_unanswered", "schedule": 10.0, "options": {"expire_seconds": 10}},
    "forget old chat": {"task": "chat.sweep_old", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "start due schedules": {"task": "jobs.start_schedules", "schedule": 1.0, "options": {"expire_seconds": 2}},
    "find silent schedules": {
        "task": "jobs.sweep_silent_schedules",
        "schedule": 10.0,
        "options": {"expire_seconds": 10},
    },
    "forget old moments": {"task": "jobs.sweep_old_runs", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "warn of calendars": {"task": "jobs.warn_of_calendars", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "forget old idempotency keys": {"task": "jobs.sweep_keys", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "delete old jobs": {"task": "jobs.delete_old", "schedule": 300.0, "options": {"expire_seconds": 300}},
    "evaluate ends": {"task": "jobs.evaluate_ends", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "forget old logins": {"task": "accounts.sweep_attempts", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "forget failed ends": {"task": "jobs.sweep_failed_ends", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "keep the head of the audit trail": {
        "task": "accounts.keep_audit_head",
        "schedule": 3600.0,
        "options": {"expire_seconds": 600},
    },
    "forget old failed tasks": {
        "task": "jobs.sweep_failed_tasks",
        "schedule": 3600.0,
        "options": {"expire_seconds": 600},
    },
}

# Jobs
GATEWAY = bool(_values["LETSERVER_GATEWAY"])
LEASE_SECONDS = _number("LETSERVER_LEASE_SECONDS")
BEAT_LEASE_SECONDS = _number("LETSERVER_BEAT_LEASE_SECONDS")
ACK_SECONDS = _number("LETSERVER_ACK_SECONDS")
OUTAGE_SECONDS = _number("LETSERVER_OUTAGE_SECONDS")
OFFLINE_SECONDS = _number("LETSERVER_OFFLINE_SECONDS")

# Limits per minute; 0: no limit
USER_CALLS_A_MINUTE = _number("LETSERVER_USER_CALLS_A_MINUTE")
AGENT_CALLS_A_MINUTE = _number("LETSERVER_AGENT_CALLS_A_MINUTE")
AUTH_FAILURES_A_MINUTE = _number("LETSERVER_AUTH_FAILURES_A_MINUTE")
VISITOR_PAGES_A_MINUTE = _number("LETSERVER_VISITOR_PAGES_A_MINUTE")

# Limits per user; 0: no limit
AGENTS_PER_USER = _number("LETSERVER_AGENTS_PER_USER")
SCHEDULES_PER_USER = _number("LETSERVER_SCHEDULES_PER_USER")
TOKENS_PER_USER = _number("LETSERVER_TOKENS_PER_USER")
QUEUES_PER_USER = _number("LETSERVER_QUEUES_PER_USER")
WAITING_JOBS_PER_USER = _number("LETSERVER_WAITING_JOBS_PER_USER")
DELAYED_JOBS_PER_USER = _number("LETSERVER_DELAYED_JOBS_PER_USER")
JOBS_KEPT_PER_USER = _number("LETSERVER_JOBS_KEPT_PER_USER")
JOBS_KEPT_DAYS = _number("LETSERVER_JOBS_KEPT_DAYS")
SHORTEST_SCHEDULE_SECONDS = _number("LETSERVER_SHORTEST_SCHEDULE_SECONDS")

# Messages
SEALING_KEYS = cast(list[str], _values["LETSERVER_SEALING_KEYS"])
OUTBOUND_ALLOW = cast(list[str], _values["LETSERVER_OUTBOUND_ALLOW"])
OUTBOUND_HTTP = bool(_values["LETSERVER_OUTBOUND_HTTP"])
SYS_TOKEN = _text("LETSERVER_SYS_TOKEN")
EVENTS = bool(_values["LETSERVER_EVENTS"])
COURIER_THREADS = _number("LETSERVER_COURIER_THREADS")
EMAIL_URL = _text("LETSERVER_EMAIL_URL")
if EMAIL_URL:
    vars().update(environ.Env.email_url_config(EMAIL_URL))
DEFAULT_FROM_EMAIL = _text("LETSERVER_EMAIL_FROM") or "LetServer <letserver@localhost>"
EMAIL_TIMEOUT = 10
TEMPLATES_A_DAY = _number("LETSERVER_TEMPLATES_A_DAY")
TEXTS_A_WINDOW = _number("LETSERVER_TEXTS_A_WINDOW")
MERGE_SECONDS = _number("LETSERVER_MERGE_SECONDS")

# Platforms
WECHAT_KIND = _text("LETSERVER_WECHAT_KIND")
WECHAT_APPID, WECHAT_SECRET = _text("LETSERVER_WECHAT_APPID"), _text("LETSERVER_WECHAT_SECRET")
WECHAT_TOKEN, WECHAT_AES_KEY = _text("LETSERVER_WECHAT_TOKEN"), _text("LETSERVER_WECHAT_AES_KEY")
WECHAT_PLAIN_COMMANDS = bool(_values["LETSERVER_WECHAT_PLAIN_COMMANDS"])
CALLBACK_AGE_SECONDS = _number("LETSERVER_CALLBACK_AGE_SECONDS")
WECHAT_STABLE_TOKEN = bool(_values["LETSERVER_WECHAT_STABLE_TOKEN"])
WECHAT_TEMPLATE_INFO = _text("LETSERVER_WECHAT_TEMPLATE_INFO")
WECHAT_TEMPLATE_WARNING = _text("LETSERVER_WECHAT_TEMPLATE_WARNING") or WECHAT_TEMPLATE_INFO
WECHAT_TEMPLATE_FIELDS: dict[str, str] = json.loads(_text("LETSERVER_WECHAT_TEMPLATE_FIELDS"))
WECOM_CORP_ID, WECOM_AGENT_ID = _text("LETSERVER_WECOM_CORP_ID"), _text("LETSERVER_WECOM_AGENT_ID")
WECOM_SECRET = _text("LETSERVER_WECOM_SECRET")
WECOM_TOKEN, WECOM_AES_KEY = _text("LETSERVER_WECOM_TOKEN"), _text("LETSERVER_WECOM_AES_KEY")
TELEGRAM_BOT_TOKEN = _text("LETSERVER_TELEGRAM_BOT_TOKEN")
TELEGRAM_WEBHOOK_SECRET = _text("LETSERVER_TELEGRAM_WEBHOOK_SECRET")
SLACK_SIGNING_SECRET = _text("LETSERVER_SLACK_SIGNING_SECRET")
SLACK_BOT_TOKEN, SLACK_API_BASE = _text("LETSERVER_SLACK_BOT_TOKEN"), _text("LETSERVER_SLACK_API_BASE")
WECHAT_API_BASE, WECHAT_MP_BASE = _text("LETSERVER_WECHAT_API_BASE"), _text("LETSERVER_WECHAT_MP_BASE")
WECOM_API_BASE = _text("LETSERVER_WECOM_API_BASE")
FEISHU_BASE, DINGTALK_BASE = _text("LETSERVER_FEISHU_BASE"), _text("LETSERVER_DINGTALK_BASE")
TELEGRAM_BASE, SLACK_BASE = _text("LETSERVER_TELEGRAM_BASE"), _text("LETSERVER_SLACK_BASE")
DISCORD_BASE, PUSHPLUS_BASE = _text("LETSERVER_DISCORD_BASE"), _text("LETSERVER_PUSHPLUS_BASE")
SERVERCHAN_BASE, WXPUSHER_BASE = _text("LETSERVER_SERVERCHAN_BASE"), _text("LETSERVER_WXPUSHER_BASE")

# People
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [
    "accounts.hashing.BoundedArgon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "console:login"
LOGIN_REDIRECT_URL = "console:overview"
LOGOUT_REDIRECT_URL = "console:login"
# Ten wrong passwords in an hour lock the pair of account and address, so that an attacker cannot lock out the owner.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_IPWARE_PROXY_COUNT = TRUSTED_PROXIES or None
AXES_IPWARE_META_PRECEDENCE_ORDER = ["HTTP_X_FORWARDED_FOR", "REMOTE_ADDR"] if TRUSTED_PROXIES else ["REMOTE_ADDR"]
AXES_VERBOSE = False
AXES_RESET_ON_SUCCESS = True

# Closed by default
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _secure
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "no-referrer"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = _secure
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = bool(_values["LETSERVER_HSTS_SUBDOMAINS"])
# `letserver.hosts` makes the header trustworthy.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _secure else None
# Whether other names of the domain may be reached without TLS is their administrators' decision.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_SCHEMA_CLASS": "kernel.http.openapi.OperationSchema",
    "EXCEPTION_HANDLER": "kernel.http.rest.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "NUM_PROXIES": TRUSTED_PROXIES,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "LetServer",
    "VERSION": "2.0.0",
    "DESCRIPTION": "Say something to your servers and hear back. Operations marked `x-gateway` are answered by the "
    "gateway in front of Django where it is on: the same calls, the same answers, faster.",
    "OAS_VERSION": "3.1.0",
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "jobs.states.JobStatus",
        "JobMove": "jobs.states.Move",
        "MessageLevel": "notifications.models.Level",
        "DeliveryState": "notifications.models.DeliveryState",
        "TextFormat": "notifications.models.Format",
    },
    "PREPROCESSING_HOOKS": ["kernel.http.openapi.only_operations"],
    "COMPONENT_SPLIT_REQUEST": True,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "userToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "lsu_ (everything), lsj_ (jobs only) or lsn_ (messages only) and 36 characters.",
            },
            "userTokenInQuery": {
                "type": "apiKey",
                "in": "query",
                "name": "token",
                "description": "The same in the query, for one-liners. It ends up in logs and histories.",
            },
            "userTokenByBasic": {
                "type": "http",
                "scheme": "basic",
                "description": "The same as user name or as password, the other half ignored.",
            },
            "systemToken": {"type": "http", "scheme": "bearer", "description": "LETSERVER_SYS_TOKEN of the server."},
            "agentToken": {"type": "http", "scheme": "bearer", "description": "An agent's 20 letters and digits."},
        }
    },
}

# Words
LANGUAGE_CODE = _text("LETSERVER_LANGUAGE")
LANGUAGES = [("zh-hans", _("Chinese")), ("en", _("English"))]
LOCALE_PATHS = [ROOT / "locale"]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = _secure
TIME_ZONE = _text("LETSERVER_TIME_ZONE")
USE_I18N = True

# Files
STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
STATIC_ROOT = DATA_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
# Static files are served from their apps; a collected folder exists only after `collectstatic`.
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "letserver.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": _text("LETSERVER_LOG_LEVEL")},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "propagate": False},
        "uvicorn.access": {"level": "WARNING"},
        # A line for every tick and every sweep would hide all other lines.
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # It logs each address that it refuses, also those that LETSERVER_OUTBOUND_ALLOW then allows.
        "requests_hardened": {"level": "ERROR"},
        # At lower levels these libraries log addresses with keys in them, and messages.
        "apprise": {"level": "CRITICAL"},
        "urllib3": {"level": "WARNING"},
    },
}
