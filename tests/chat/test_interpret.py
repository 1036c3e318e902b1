"""In which order a line's meanings are tried; questions; silence; hints."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from django.utils.translation import get_language
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ChatIdentity, User
from accounts.services.identities import set_language
from agents.names import RESERVED
from chat.commands import registry
from chat.commands.confirm import NO, YES
from chat.commands.interpret import answer
from chat.commands.registry import Command, Line, Reply, all_commands, find_command, first_words
from chat.commands.words import folded, nearest, split_line
from chat.models import Question
from jobs.models import Job
from kernel.clock import database_now
from kernel.text import is_one_character
from notifications.channels.identity import ensure_identity_channel
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.models import Channel, DeliveryState, Message, MessageAction
from tests.chat.conftest import Say
from tests.factories import make_agent

_FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    "text",
    ["1", "a", "的", "。", "😀", "👍🏽", "🇨🇳", _FAMILY, "e\u0301", "1\ufe0f\u20e3", "☎️", " x ", "\u3000好\u3000"],
)
@pytest.mark.django_db
def test_one_character_keeps_the_window_open_and_is_not_answered(text: str, say: Say) -> None:
    assert is_one_character(text.strip())
    assert say(text) == ""


@pytest.mark.parametrize("text", ["", "12", "ab", "🇨🇳🇨🇳", "的的", "😀😀"])
def test_more_or_less_than_one_character_is_seen(text: str) -> None:
    assert not is_one_character(text)


@pytest.mark.parametrize("text", ["", "   ", "\u3000", "\n\t", "help\x00", "help \ud800"])
@pytest.mark.django_db
def test_nothing_and_what_no_database_holds_are_not_answered(text: str, say: Say) -> None:
    assert say(text) == ""


@pytest.mark.django_db
def test_what_came_in_the_clear_does_nothing(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    assert say("nas date", sealed=False) == say("token", sealed=False) == ""
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_question_waits_two_minutes_in_its_own_place_and_is_taken_once(
    alice: User, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_agent(owner=alice, name="nas", online=False)
    say("agent del nas")
    other = {"platform": "wechat", "identity_id": "other"}
    assert "nothing to confirm" in say("yes", **other)
    assert "deleted" in say("yes")
    assert "nothing to confirm" in say("yes")
    say("token reset")
    assert say("no") == "Nothing was done."
    assert "nothing to confirm" in say("yes")
    say("token reset")
    later = database_now() + dt.timedelta(seconds=121)
    monkeypatch.setattr("chat.commands.confirm.database_now", lambda: later)
    assert "nothing to confirm" in say("yes")


@pytest.mark.django_db
def test_a_newer_question_takes_the_place_of_an_older_one(alice: User, say: Say) -> None:
    agent = make_agent(owner=alice, name="nas", online=False)
    say("agent del nas")
    say("token reset")
    assert Question.objects.count() == 1
    assert "lsu_" in say("yes")
    agent.refresh_from_db()
    assert agent.deleted_at is None


@pytest.mark.django_db
def test_a_number_runs_an_action_once(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    actions = (
        ActionRequest(label="Restart", agent="nas", text="restart api"),
        ActionRequest(label="X", agent="gone", text="x"),
    )
    accept_messages([NewMessage(owner_id=alice.pk, text="down", actions=actions)])
    text = say("１")
    assert "Restart" in text
    assert "(runs on nas: restart api)" in text
    assert "🕘" in text
    assert Job.objects.get().message == "restart api"
    assert "chosen before: Restart (runs on nas: restart api)" in say("1")
    assert "no agent called gone" in say("2")
    assert MessageAction.objects.get(number=2).taken_at is None
    assert Job.objects.count() == 1


def _offer(owner: User, *, to: Channel | None = None, **more: Any) -> Message:
    """A message that offers `1`; with a channel it was delivered there."""
    action = ActionRequest(label="Show", agent="nas", text=more.pop("text", "df"), expires_seconds=3600)
    channels = (to.pk,) if to else ()
    (message,) = accept_messages([NewMessage(owner_id=owner.pk, text="x", actions=(action,), channels=channels)])
    assert isinstance(message, Message)
    message.deliveries.update(state=DeliveryState.SENT)
    return message


@pytest.mark.django_db
def test_a_number_that_two_messages_offer_needs_a_mark(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    first, second = _offer(alice, text="df -h"), _offer(alice, text="reboot")
    listed = say("1")
    assert not Job.objects.exists()
    assert f"1 #{first.pk[-6:]} – Show (runs on nas: df -h)" in listed
    assert f"1 #{second.pk[-6:]} – Show (runs on nas: reboot)" in listed
    assert "🕘" in say(f"1 #{first.pk[-6:]}")
    assert Job.objects.get().message == "df -h"
    # The number that was meant for the first message must not start the job of the other one.
    assert f"1 #{second.pk[-6:]} – Show (runs on nas: reboot)" in say("1")
    assert "No message here" in say("1 #ffffffff")
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_a_number_that_comes_too_late_says_so(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    message = _offer(alice)
    message.actions.update(expires_at=database_now())
    assert "too late for this answer: Show (runs on nas: df)" in say("1")
    set_language(user=alice, language="zh-hans")
    assert "在 nas 上执行：df" in say("1")
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_number_belongs_to_a_message_that_was_delivered_in_this_chat(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    chats = [
        ChatIdentity.objects.create(
            owner=alice, platform="telegram", account="bot", external_id=name, bound_at=database_now()
        )
        for name in ("here", "there")
    ]
    here, there = (ensure_identity_channel(chat) for chat in chats)
    elsewhere = _offer(alice, to=there, text="reboot")
    on_its_way = _offer(alice, to=here, text="halt")
    on_its_way.deliveries.update(state=DeliveryState.RETRY)
    nowhere = _offer(alice, text="erase")
    nowhere.deliveries.all().delete()
    at_here = {"platform": "telegram", "identity_id": chats[0].pk}
    assert say("1", **at_here) == ""
    _offer(alice, to=here, text="df")
    assert "runs on nas: df" in say("1", **at_here)
    assert [job.message for job in Job.objects.all()] == ["df"]
    assert "No message here" in say(f"1 #{elsewhere.pk[-6:]}", **at_here)
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hlep", "help"),
        ("tokne", "token"),
        ("stauts", "status"),
        ("状太", "状态"),
        ("my-na", "My-nas"),
        ("jbs", "jobs"),
    ],
)
@pytest.mark.django_db
def test_a_slip_gets_the_nearest_word(typed: str, meant: str, alice: User, say: Say) -> None:
    make_agent(owner=alice, name="My-nas")
    assert f"“{meant}”" in say(f"{typed} x", language="en")


@pytest.mark.django_db
def test_what_is_unknown_is_never_repeated(say: Say) -> None:
    text = say("qwertyuiop <b>secret</b>")
    assert "qwerty" not in text
    assert "secret" not in text
    assert "help" in text


@pytest.mark.parametrize(
    ("text", "door", "own", "chinese"),
    [
        ("帮助", "en", "", True),
        ("help", "zh-hans", "", True),
        ("help", "", "", False),
        ("qqqqqqqq", "", "", True),
        ("帮助", "zh-hans", "en", False),
        ("help", "en", "zh-hans", True),
    ],
)
@pytest.mark.django_db
def test_the_language_is_the_person_s_then_the_word_s_then_the_door_s(
    text: str, door: str, own: str, chinese: bool, alice: User, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = []
    monkeypatch.setattr(
        "chat.commands.interpret._meaning",
        lambda *_: spoken.append(get_language()) or Reply(text="x"),
    )
    alice.language = own
    alice.save(update_fields=["language"])
    say(text, language=door)
    assert spoken == ["zh-hans" if chinese else "en"]


def test_no_agent_can_be_called_like_a_word_of_the_grammar() -> None:
    assert {*first_words(), *YES, *NO} - RESERVED == set()


def test_a_phrase_is_registered_once_and_has_one_or_two_words() -> None:
    command = Command(phrases=("help",), usage="", summary="", run=lambda call: Reply())
    with pytest.raises(ValueError, match="help"):
        registry.register(command)
    with pytest.raises(ValueError, match="a b c"):
        registry.register(Command(phrases=("a b c",), usage="", summary="", run=lambda call: Reply()))


def test_every_command_has_a_chinese_and_an_english_phrase() -> None:
    for command in all_commands():
        assert any(phrase.isascii() for phrase in command.phrases), command.phrases
        assert any(not phrase.isascii() for phrase in command.phrases), command.phrases


@given(
    words=st.lists(st.sampled_from(["help", "token", "agent", "add", "状态", "取消", "job", "ｊｏｂ"]), max_size=4),
    spaces=st.lists(st.sampled_from([" ", "  ", "\u3000", "\t", "\n ", "\u00a0"]), min_size=4, max_size=4),
)
def test_white_space_width_and_case_change_nothing(words: list[str], spaces: list[str]) -> None:
    written = "".join(itertools.chain(*zip(words, spaces, strict=False)))
    plain = find_command(words)
    assert find_command(split_line(written)) == plain
    assert find_command([word.upper() for word in words]) == plain or plain is None or plain[1]
    wide = ["".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word) for word in words]
    found = find_command(wide)
    assert (found and found[0]) == (plain and plain[0])


@pytest.mark.sqlite_only  # once: nothing of it is asked of the database
@pytest.mark.parametrize("examples", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_no_text_makes_it_raise(examples: int) -> None:
    """Read only: what a line means is found, nothing is done."""
    many = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    many(given(text=_LINES)(_find_meaning))()


_LINES = st.text(max_size=80) | st.from_regex(r"(help|token|agent|job|nas|yes|bind|login|1)[ \u3000]{0,2}.{0,40}")


def _find_meaning(text: str) -> None:
    words = split_line(text)
    find_command(words)
    is_one_character(text)
    nearest(words[0], ["help", "状态"]) if words else None
    folded(text)


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=60) | st.from_regex(r"(help|job|nas|yes|login|agent del|取消)[ \u3000]{0,2}.{0,40}"))
def test_no_text_makes_an_answer_raise(text: str, alice: User) -> None:
    reply = answer(Line(owner_id=alice.pk, text=text, platform="console"))
    assert isinstance(reply.text, str)
