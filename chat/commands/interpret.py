"""Interpret a line. The meanings are tried in this order:

1. Empty text, or text that no database can store: silence.
2. One character: the number of an action that a message offered here, else a sign of life without an answer. `1 #mark`:
   the action of the message with that mark.
3. Yes or no: the answer to an open question of this conversation.
4. A command.
5. A job for one of the person's agents.
6. Anything else: a short hint, which never repeats the typed text.
"""

from __future__ import annotations

import re

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.power import Power, may
from agents.models import AgentName
from agents.services.find import find_agent
from chat.commands.confirm import NO, YES, ask_first, take_question
from chat.commands.jobs import send_job, take_numbered_action
from chat.commands.registry import Call, Command, Line, Reply, all_commands, find_command
from chat.commands.words import folded, is_chinese, nearest, split_line
from kernel.errors import AgentNotFound, AppError
from kernel.text import after_words, is_one_character, unstorable_character

SILENCE = Reply(silent=True)
_MARKED = re.compile(r"(\d) ?#([0-9a-z]{4,32})", re.ASCII)
_NAMES_LOOKED_AT = 200


def answer(line: Line, *, owner: User | None = None) -> Reply:
    """Run a line and return the reply. No text makes it raise; an unavailable database does.

    `owner`: the line's owner, if the caller has read the row already.
    """
    words = split_line(line.text)
    if not may(line.holder, Power.MANAGE) or not words or unstorable_character(line.text):
        return SILENCE
    owner = owner or User.objects.get(pk=line.owner_id)
    with translation.override(_language(owner, line, words[0])):
        if not owner.is_active:
            return Reply(text=_("This account is frozen. Ask the administrator of this service."))
        try:
            return _meaning(line, owner, words)
        except AppError as error:
            return Reply(text=error.message)


def must_wait(line: Line) -> bool:
    """Tell whether the answer may take longer than a platform waits for it."""
    found = find_command(split_line(line.text))
    return found is not None and found[0].slow


def run_confirmed(line: Line, owner: User) -> Reply:
    """Run a line without its question, because the person has just said yes."""
    found = find_command(split_line(line.text))
    if found is None:
        return _send(line, owner, confirmed=True)
    command, rest = found
    return command.run(Call(line=line, owner=owner, words=rest))


def _meaning(line: Line, owner: User, words: list[str]) -> Reply:
    text = folded(" ".join(words))
    if is_one_character(text):
        return (take_numbered_action(line, owner, int(text)) if text.isdecimal() else None) or SILENCE
    if chosen := _MARKED.fullmatch(text):
        marked = take_numbered_action(line, owner, int(chosen[1]), chosen[2])
        return marked or Reply(text=_("No message here offers this answer."))
    if text in YES or text in NO:
        return _answer_to_question(line, owner, yes=text in YES)
    found = find_command(words)
    if found is not None:
        return _run(found[0], Call(line=line, owner=owner, words=found[1]))
    try:
        return _send(line, owner)
    except AgentNotFound:
        return _hint(owner, words)


def _send(line: Line, owner: User, *, confirmed: bool = False) -> Reply:
    """Send what follows the first word to the agent that the first word names."""
    return send_job(line, owner, split_line(line.text)[0], after_words(line.text, 1), confirmed=confirmed)


def _run(command: Command, call: Call) -> Reply:
    least, most = command.words
    if len(call.words) < least or (most is not None and len(call.words) > most):
        return Reply(text="\n".join([_("Write it like this:"), *_usages(command, call)]))
    question = command.warning(call) if command.warning is not None else ""
    if question:
        return ask_first(call.line, question)
    return command.run(call)


def _usages(command: Command, call: Call) -> list[str]:
    """Return the usage of a command; if only its first word was right, of all commands that begin with that word."""
    said = split_line(call.line.text)
    if len(said) - len(call.words) > 1:
        return [str(command.usage)]
    first = folded(said[0])
    return [str(c.usage) for c in all_commands() if any(folded(phrase.split()[0]) == first for phrase in c.phrases)]


def _answer_to_question(line: Line, owner: User, *, yes: bool) -> Reply:
    asked = take_question(line)
    if asked is None:
        return Reply(text=_("There is nothing to confirm. A question waits for two minutes."))
    return run_confirmed(asked, owner) if yes else Reply(text=_("Nothing was done."))


def _hint(owner: User, words: list[str]) -> Reply:
    """Name the nearest known word, without repeating the typed text."""
    agents = AgentName.objects.filter(owner_id=owner.pk).select_related("agent").order_by("key")[:_NAMES_LOOKED_AT]
    known = [phrase.split()[0] for command in all_commands() if not command.hidden for phrase in command.phrases]
    guess = nearest(words[0], dict.fromkeys([*known, *(name.key for name in agents)]))
    if not guess:
        return Reply(text=_("No command and no agent has that name. “help” lists what I understand."))
    try:
        shown = find_agent(viewer=owner, called=guess).name if guess not in known else guess
    except AgentNotFound:
        shown = guess
    return Reply(
        text=_("No command and no agent has that name. Did you mean “%(word)s”? “help” lists all.") % {"word": shown}
    )


def _language(owner: User, line: Line, word: str) -> str:
    """Return the person's language, else that of the typed word, else the one that the platform reports."""
    if owner.language:
        return owner.language
    if is_chinese(word):
        return "zh-hans"
    if line.language:
        return line.language
    return "en" if find_command([word]) else settings.LANGUAGE_CODE
