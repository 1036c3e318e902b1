"""The places where text from outside meets an algorithm, with their bounds. docs/security-bounds.md shows the table."""

from __future__ import annotations

import base64
import functools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chat.commands.words import nearest
from devtools.simulator.crypto import encrypt, sha1_signature
from jobs.argv import WORDS_LIMIT, read_argv
from jobs.schedules.cron.grammar import LONGEST_EXPRESSION
from jobs.schedules.cron.schedule import Cron
from jobs.watch.extract import COMPARED_CHARACTERS, extract
from jobs.watch.patterns import EXPRESSION_LENGTH
from jobs.watch.policy import MESSAGE_LENGTH, PATH_LENGTH, NotifyPolicy, read_policy
from kernel import strictjson
from kernel.durations import parse_duration
from kernel.errors import InvalidDuration, InvalidMessage, InvalidRequest
from kernel.outbound import URL_CHARACTERS, check_url
from kernel.text import OUTPUT_BYTES, keep_head_and_tail
from kernel.visible import visible_text
from notifications.drivers.webhook import WebhookForm
from notifications.wechat.callback import BODY_BYTES, BadCallback, Callback
from skadi import config, match, yamlet
from tests.skadi.support import SAMPLE


class Refused(Exception):
    """A place that answers instead of raising has refused the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place.

    `grow(n)` is a text of about `n` units, never more, that is valid but for its length. `run` raises one of `refusals`
    for a text that it does not take, and returns how many units it has worked on if it cuts. `signs` are the pieces of
    hostile texts.
    """

    name: str
    code: str
    bound: int
    unit: str
    grow: Callable[[int], str]
    run: Callable[[str], object]
    signs: tuple[str, ...]
    refusals: tuple[type[Exception], ...] = ()

    @property
    def beyond(self) -> str:
        """The treatment of a text beyond the bound."""
        return "refused" if self.refusals else "cut"


_TOKEN, _KEY = "AAAAA", base64.b64encode(bytes(range(32))).decode().rstrip("=")
_ACCOUNT = "wx0123456789abcdef"
_CALLBACK = Callback(token=_TOKEN, aes_key=_KEY, account=_ACCOUNT)


def _letters(count: int) -> str:
    return "a" * count


def _plain_callback(text: str) -> None:
    timestamp = str(int(time.time()))
    query = {"timestamp": timestamp, "nonce": "n", "signature": sha1_signature(_TOKEN, timestamp, "n")}
    _CALLBACK.read(query, text.encode())


def _sealed(length: int) -> str:
    """Return a valid ciphertext of at most `length` characters, and almost as long."""
    xml = f"<xml><A>{'a' * (length * 3 // 4 - 200)}</A></xml>"
    return encrypt(xml, aes_key=_KEY, receiver=_ACCOUNT, filling=b"0123456789abcdef")


def _sealed_callback(text: str) -> None:
    timestamp = str(int(time.time()))
    signature = sha1_signature(_TOKEN, timestamp, "n", text)
    query = {"timestamp": timestamp, "nonce": "n", "msg_signature": signature}
    _CALLBACK.read(query, f"<xml><Encrypt>{text}</Encrypt></xml>".encode())


def _webhook_template(text: str) -> None:
    form = WebhookForm({"url": "https://example.com/", "template": text})
    if "template" in form.errors:
        raise Refused


@functools.cache
def _whitelist() -> config.Config:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "skadi.yml"
        path.write_text(SAMPLE, encoding="utf-8")
        path.chmod(0o600)
        return config.load(str(path), {})


def _decide(text: str) -> None:
    found = match.decide(_whitelist(), text)
    if isinstance(found, match.DirectAnswer) and not found.ok:
        raise Refused


def _compared(text: str) -> int:
    return sum(len(one.shown) for one in extract(NotifyPolicy(), text=text, exit_code=0) or ())


def _seen(text: str) -> int:
    kept = keep_head_and_tail(text)
    visible_text(kept.text)
    return len(kept.text.encode())


_JSON = (
    "[",
    "]",
    "{",
    "}",
    '"',
    "\\",
    ":",
    ",",
    "1",
    "e9",
    "-",
    ".",
    "\x00",
    "\ud800".encode("utf-8", "replace").decode(),
)

PLACES = (
    Place(
        name="JSON of a body", code="kernel/strictjson.py", bound=strictjson.DEPTH_LIMIT, unit="levels",
        grow=lambda n: "[" * n + "]" * n, run=lambda text: strictjson.parse_value(text.encode()),
        signs=("[", "]", "{", "}", '"', "\\", ":", ",", "1", "e9", "-", ".", "\\ud800", "\x00"),
        refusals=(InvalidRequest,),
    ),
    Place(
        name="Length of time", code="kernel/durations.py", bound=64, unit="characters",
        grow=lambda n: "1s" * (n // 2), run=parse_duration,
        signs=("1", ".", "s", "ms", "μs", "小时", "9" * 20, " "), refusals=(InvalidDuration,),
    ),
    Place(
        name="Cron expression", code="jobs/schedules/cron/grammar.py", bound=LONGEST_EXPRESSION, unit="characters",
        grow=lambda n: ("0," * n)[: n - 9] + "0 0 * * *", run=lambda text: Cron.parse(text, timezone="UTC"),
        signs=("*", "/", "-", ",", " ", "0", "59", "31", "FEB", "L", "W", "#5", "5C", "@every ", "CRON_TZ=", "?"),
        refusals=(InvalidRequest,),
    ),
    Place(
        name="JSON path of notify", code="jobs/watch/policy.py", bound=PATH_LENGTH, unit="characters",
        grow=_letters, run=lambda text: read_policy({"mode": "json", "path": text}),
        signs=("a", ".", "[", "]", "0", "-", "99999", "中"), refusals=(InvalidRequest,),
    ),
    Place(
        name="Message of notify", code="jobs/watch/policy.py", bound=MESSAGE_LENGTH, unit="characters",
        grow=_letters, run=lambda text: read_policy({"message": text}),
        signs=("{", "}", "{name}", "{added}", "a", "\x00", "\n"), refusals=(InvalidRequest,),
    ),
    Place(
        name="Expression of ignore", code="jobs/watch/patterns.py", bound=EXPRESSION_LENGTH, unit="characters",
        grow=lambda n: f"[{'a' * (n - 2)}]", run=lambda text: read_policy({"ignore": [text]}),
        signs=("a", ".", "*", "+", "?", "{9}", "{0,99}", "(", ")", "|", "[", "]", "^", "$", "\\", "\\w", "(?i)", "(?="),
        refusals=(InvalidRequest,),
    ),
    Place(
        name="Compared output", code="jobs/watch/extract.py", bound=COMPARED_CHARACTERS, unit="characters",
        grow=lambda n: ("a" * 99 + "\n") * (n // 100), run=_compared,
        signs=("\n", "a", "\x1b[", "\x90", "\u202e", "1,111", " "),
    ),
    Place(
        name="Hidden characters of an output", code="kernel/visible.py", bound=OUTPUT_BYTES, unit="bytes",
        grow=lambda n: "\x90" * (n // 2), run=_seen,
        signs=("\x1b", "[", "]", "\x90", "\x9b", "\x9c", "\x07", "\\", "P", "\u202e", "\u0301", "\r\n", "a"),
    ),
    Place(
        name="Words of a job", code="jobs/argv.py", bound=WORDS_LIMIT, unit="words",
        grow=lambda n: "a " * n, run=lambda text: read_argv(text.split()),
        signs=("a", " ", "'", '"', "\\", "$(", "\x00"), refusals=(InvalidMessage,),
    ),
    Place(
        name="Nearest word of the chat", code="chat/commands/words.py", bound=60, unit="characters",
        grow=_letters, run=lambda text: len(nearest(text, ["status", "help", text[:60], text[1:]])),
        signs=("a", "帮", "\uff41", "\u0301", "\ufdfa"),
    ),
    Place(
        name="Address to call", code="kernel/outbound.py", bound=URL_CHARACTERS, unit="characters",
        grow=lambda n: "https://example.com/".ljust(n, "a"), run=check_url,
        signs=("https://", "a", ".", "-", "0x", "1", "[", "]", ":", "@", "%", "/", "?", "#"),
        refusals=(InvalidRequest,),
    ),
    Place(
        name="Template of a webhook", code="notifications/drivers/webhook.py", bound=8000, unit="characters",
        grow=lambda n: '{"a": "' + "a" * (n - 9) + '"}', run=_webhook_template,
        signs=("{{", "}}", " ", "title", "{", "}", '"', "[", "]", ":"), refusals=(Refused,),
    ),
    Place(
        name="XML of WeChat", code="notifications/wechat/callback.py", bound=BODY_BYTES, unit="bytes",
        grow=lambda n: f"<xml><A>{'a' * (n - 19)}</A></xml>", run=_plain_callback,
        signs=("<xml>", "</xml>", "<A>", "</A>", "<!DOCTYPE x [", "<!ENTITY a 'b'>", "&a;", "<![CDATA[", "]]>"),
        refusals=(BadCallback,),
    ),
    Place(
        name="AES of WeChat", code="notifications/wechat/callback.py", bound=60_000, unit="characters",
        grow=_sealed, run=_sealed_callback,
        signs=("A", "/", "+", "=", "<Encrypt>", "</Encrypt>", "AAAA" * 11), refusals=(BadCallback,),
    ),
    Place(
        name="YAML of the agent", code="skadi/yamlet.py", bound=yamlet.MAX_DEPTH, unit="levels",
        grow=lambda n: "- " * n + "a", run=yamlet.load,
        signs=("- ", "a", ": ", "\n", " ", "  ", "[", "]", "{", "}", ",", "'", '"', "\\", "|", ">", "#", "&a", "*a"),
        refusals=(yamlet.YamlError,),
    ),
    Place(
        name="Whitelist of the agent", code="skadi/match.py", bound=match.MAX_MESSAGE_BYTES, unit="bytes",
        grow=lambda n: "Hi ".ljust(n, "a"), run=_decide,
        signs=("Hi", "free", "date", " ", "'", '"', "\\", "%s", "\u201c", "\u201d", "\u3000", "\x00"),
        refusals=(Refused,),
    ),
)  # fmt: skip
