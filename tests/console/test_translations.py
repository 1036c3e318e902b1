"""Every sentence is translated and compiled, and the Chinese pages hold no English sentence."""

from __future__ import annotations

import ast
import gettext
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import User
from jobs.life.report import ReportKind
from notifications.channels.service import create_channel
from notifications.channels.trial import try_channel
from notifications.models import Message
from tests.console.pages import words_of
from tests.factories import claim, make_agent, make_job, report
from tests.lanes.services import ROOT

pytestmark = pytest.mark.sqlite_only

_FOLDER = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES"
# Words that are the same in both languages: names of services, and of fields as those services call them.
_SAME = {"HTTP Accept", "%(field)s: %(problem)s", "Markdown", "Webhook", "token", "access_token"}
_SAME |= {"Bark", "Discord", "Gotify", "Microsoft Teams", "ntfy", "PushPlus", "Slack", "Telegram", "WxPusher"}
_SAME |= {"AgentId", "Secret", "SendKey", "appToken"}


def _entries(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield (msgid, msgstr, fuzzy) of each entry but the header."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        parts: dict[str, str] = {}
        keyword = ""
        for line in lines:
            found = re.match(r'(msgid|msgid_plural|msgstr(?:\[\d\])?) (".*")', line)
            keyword, text = (found[1], found[2]) if found else (keyword, line)
            parts[keyword] = parts.get(keyword, "") + str(ast.literal_eval(text))
        if parts.get("msgid"):
            yield parts["msgid"], parts.get("msgstr", parts.get("msgstr[0]", "")), "#, fuzzy" in block


def test_every_word_is_translated_and_none_is_doubtful() -> None:
    entries = list(_entries(_FOLDER / "django.po"))
    assert len(entries) > 300
    assert [word for word, translation, fuzzy in entries if fuzzy or not translation] == []
    assert [word for word, translation, _ in entries if word == translation and word not in _SAME] == []


def test_every_translation_fills_the_same_places() -> None:
    def places(text: str) -> list[str]:
        return sorted(set(re.findall(r"%\(\w+\)s|<code>.*?</code>", text)))

    assert [word for word, said, _ in _entries(_FOLDER / "django.po") if places(word) != places(said)] == []


def test_the_compiled_catalogue_says_what_the_source_says() -> None:
    with (_FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for word, translation, _fuzzy in _entries(_FOLDER / "django.po"):
        assert translation in (compiled.gettext(word), compiled.ngettext(word, word, 1))


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="gettext is not installed")
def test_the_catalogue_holds_every_word_of_the_code(tmp_path: Path) -> None:
    """Collect the words as `make messages` does, in a copy, and compare."""
    for name in ("accounts", "agents", "chat", "jobs", "kernel", "letserver", "notifications", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "locale").mkdir()
    command = [sys.executable, "-m", "django", "makemessages", "-l", "zh_Hans", "--no-location"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=_no_settings())
    collected = {word for word, _, _ in _entries(tmp_path / "locale/zh_Hans/LC_MESSAGES/django.po")}
    assert {word for word, _, _ in _entries(_FOLDER / "django.po")} == collected


def _no_settings() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}


@pytest.mark.django_db
def test_pages_in_chinese_hold_no_english_word_of_ours(alice: User, at_alice: Client, at_nobody: Client) -> None:
    agent = make_agent(owner=alice, name="box-1")
    job = make_job(agent, "12345")
    claim(agent)
    report(agent, job, ReportKind.FAIL, "67890")
    chinese = {"Accept-Language": "zh-CN"}
    english = {word.lower() for word, said, _ in _entries(_FOLDER / "django.po") if word != said}
    english -= {"english", "id"}
    paths = ["", "agents", "agents/add", f"agents/{agent.pk}", "jobs", "jobs/send", f"jobs/{job.pk}", "account"]
    channel = create_channel(
        owner_id=alice.pk, name="1", driver="wecom_robot", settings={"key": "12345678"}, levels=["info"], actor="test"
    )
    message = try_channel(channel)
    Message.objects.update(source="1")
    paths += ["messages", "messages/send", f"messages/{message.pk}", "channels", "channels/add"]
    paths += ["channels/add?driver=webhook", f"channels/{channel.pk}", f"channels/{channel.pk}/delete"]
    paths += ["account/password", f"agents/{agent.pk}/delete", f"agents/{agent.pk}/disable", "nothing"]
    for path in paths:
        words = words_of(at_alice.get(f"/console/{path}", headers=chinese))
        assert [word for word in words if word.lower() in english] == [], path
    assert [
        word for word in words_of(at_nobody.get("/console/login", headers=chinese)) if word.lower() in english
    ] == []
