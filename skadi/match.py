"""Decide what a message means: an entry of skadi.yml with its argument list, or an answer without a command.

The order is the original's: help and all, shortcuts, commands, templates. If none of them is equal as written,
shortcuts match without regard to the case and width of letters. A message chooses an entry and its arguments, never a
program. A job may come as words (`argv`) instead: these are compared as they are, without splitting or folding, and no
shell ever reads them. This module starts nothing and reads nothing but its arguments.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Sequence, Union

from skadi.config import Config
from skadi.entries import Entry
from skadi.template import MAX_ARGUMENTS, ArgumentsError, Template
from skadi.words import WordsError, check_text, fold, split_words

MAX_MESSAGE_BYTES = 4096
HELP = ("help", "all")
SECTION_TITLES = (("Shortcuts", "shortcut"), ("Commands", "command"), ("Templates", "template"))


@dataclass(frozen=True)
class Plan:
    """Run this argument list as the entry says."""

    entry: Entry
    argv: tuple[str, ...]


@dataclass(frozen=True)
class DirectAnswer:
    """Report this text. No command runs."""

    text: str
    ok: bool = False


Decision = Union[Plan, DirectAnswer]


def decide(config: Config, message: str, argv: Sequence[str] | None = None) -> Decision:
    """Decide about a job: the text `message`, or `argv` if it is not None. Raises nothing for any content of either.

    With `argv`, `message` is only used to name the job in an answer.
    """
    if argv is not None and not argv:
        return DirectAnswer("unsupported command: its words cannot be read")
    texts = (message,) if argv is None else argv
    try:
        for text in texts:
            check_text(text)
    except WordsError as error:
        return DirectAnswer(f"unsupported command: {error}")
    if sum(len(text.encode("utf-8")) for text in texts) > MAX_MESSAGE_BYTES:
        return DirectAnswer(f"unsupported command: longer than {MAX_MESSAGE_BYTES} bytes")
    if message.strip() in HELP if argv is None else list(argv) in [[word] for word in HELP]:
        return DirectAnswer(help_text(config), ok=True)
    if config.distrust:
        return DirectAnswer(f"nothing runs here: {config.distrust}")
    found = _match_text(config, message) if argv is None else _match_argv(config, argv)
    if found is None:
        return DirectAnswer(f"unsupported command: {message}")
    if isinstance(found, Plan) and found.entry.refusal:
        return DirectAnswer(f"{found.entry.name} does not run: {found.entry.refusal}")
    return found


def help_text(config: Config) -> str:
    """Return the whitelist, byte for byte as the original printed it. Marks and notes appear only on entries that it
    lacks.
    """
    text = ""
    for title, kind in SECTION_TITLES:
        lines = [_help_line(entry) for entry in config.of_kind(kind) if not entry.hidden]
        if lines:
            text += "\n\n{}:{}".format(title, "".join(lines))
    if config.distrust:
        text += f"\n\nNothing runs here: {config.distrust}"
    return text or f"nothing is allowed here yet: add shortcuts, commands or templates to {config.path}"


def _help_line(entry: Entry) -> str:
    name = entry.name if entry.kind == "command" else f"{entry.name}: {entry.text}"
    line = "\n - {} {}".format(name, f"[{entry.directory}]" if entry.directory else "")
    refused = (bool(entry.refusal), f"[refused: {entry.refusal}]")
    for wanted, mark in ((entry.unsafe, "[unsafe]"), (entry.confirm, "[confirm]"), refused):
        if wanted:
            line = "{} {}".format(line.rstrip(" "), mark)
    return "{} ({})".format(line.rstrip(" "), entry.description) if entry.description else line


def _match_text(config: Config, message: str) -> Decision | None:
    shortcuts = config.of_kind("shortcut")
    for entry in shortcuts:
        if message in (entry.name, entry.name.strip()) or message.strip() == entry.name:
            return _plan_shortcut(entry)
    for entry in config.of_kind("command"):
        if entry.unsafe and entry.name and message.startswith(entry.name):
            return Plan(entry, ("/bin/sh", "-c", message))
    problem = ""
    try:
        words = split_words(message)
    except WordsError as error:
        words, problem = message.split(), str(error)
    decision = _match_words(config, message, words, problem)
    if decision is not None:
        return decision
    folded = [entry for entry in shortcuts if fold(entry.name) == fold(message)]
    if len(folded) == 1:
        return _plan_shortcut(folded[0])
    return DirectAnswer(help_text(config), ok=True) if fold(message) in HELP else None


def _match_argv(config: Config, argv: Sequence[str]) -> Decision | None:
    """Match words exactly. An entry that hands words to a shell refuses the job."""
    for entry in config.of_kind("shortcut"):
        if list(argv) == [entry.name]:
            return _plan_shortcut(entry)
    for entry in config.of_kind("command"):
        prefix = entry.words
        if prefix and list(argv[: len(prefix)]) == list(prefix):
            return _refuse_shell(entry) or _plan_command(entry, argv[len(prefix) :])
    for entry in config.of_kind("template"):
        if argv[0] == entry.name:
            return _refuse_shell(entry) or _fill_template(entry, argv[1:])
    return None


def _refuse_shell(entry: Entry) -> DirectAnswer | None:
    """Refuse an entry that hands words to a shell. The text of a shortcut has no words of the job, so it may use
    one.
    """
    return (
        DirectAnswer(f"{entry.name}: goes through a shell, which a job sent as words never does")
        if entry.shell
        else None
    )


def _match_words(config: Config, message: str, words: Sequence[str], problem: str) -> Decision | None:
    for entry in config.of_kind("command"):
        prefix = entry.words
        if prefix and not entry.unsafe and _starts_with(words, prefix):
            return DirectAnswer(f"{entry.name}: {problem}") if problem else _plan_command(entry, words[len(prefix) :])
    for entry in config.of_kind("template"):
        if words and _same_word(words[0], entry.name):
            if entry.unsafe:
                return _paste_template(entry, message.split()[1:])
            return DirectAnswer(f"{entry.name}: {problem}") if problem else _fill_template(entry, words[1:])
    return None


def _same_word(word: str, name: str) -> bool:
    """Return whether a word equals a name, except for full-width letters, which phones send."""
    return word == name or unicodedata.normalize("NFKC", word) == name


def _starts_with(words: Sequence[str], prefix: Sequence[str]) -> bool:
    if len(words) < len(prefix) or not _same_word(words[0], prefix[0]):
        return False
    return list(words[1 : len(prefix)]) == list(prefix[1:])


def _plan_shortcut(entry: Entry) -> Plan:
    return Plan(entry, ("/bin/sh", "-c", entry.text) if entry.shell else entry.words)


def _plan_command(entry: Entry, arguments: Sequence[str]) -> Decision:
    problem = _arguments_problem(entry, arguments)
    if problem:
        return DirectAnswer(f"{entry.name}: {problem}")
    if entry.shell:
        return Plan(entry, ("/bin/sh", "-c", entry.text + ' "$@"', "sh", *arguments))
    return Plan(entry, (*entry.words, *arguments))


def _fill_template(entry: Entry, arguments: Sequence[str]) -> Decision:
    template = entry.template
    if template is None:
        return Plan(entry, ())  # the entry has a refusal, which becomes the answer in `decide`
    problem = _arguments_problem(entry, arguments)
    if problem:
        return DirectAnswer(f"{entry.name}: {problem}")
    try:
        template.check(arguments)
    except ArgumentsError as error:
        return DirectAnswer(f"{_usage(entry, template)} ({error})")
    return Plan(entry, tuple(template.fill(arguments)))


def _paste_template(entry: Entry, arguments: Sequence[str]) -> Decision:
    """Fill a template with `match: string`: as in the original, values become text of the script."""
    template = entry.template
    if template is None:
        return Plan(entry, ())
    try:
        template.check(arguments)
    except ArgumentsError as error:
        return DirectAnswer(f"{_usage(entry, template)} ({error})")
    return Plan(entry, ("/bin/sh", "-c", "".join(template.fill(arguments))))


def _usage(entry: Entry, template: Template) -> str:
    names = [f"ARGUMENT{number}" for number in range(1, template.least + 1)]
    if template.takes_rest:
        names.append("...")
    return "usage: {}".format(" ".join([entry.name, *names]))


def _arguments_problem(entry: Entry, arguments: Sequence[str]) -> str:
    """Return why the arguments are not allowed, or ""."""
    most = min(entry.max_args, MAX_ARGUMENTS)
    if len(arguments) > most:
        return f"more than {most} arguments"
    for position, argument in enumerate(arguments):
        if not entry.options_allowed and argument.startswith("-"):
            return "argument %s begins with -, which is refused here" % (position + 1)
        if entry.args:
            pattern = entry.args[min(position, len(entry.args) - 1)]
            if not pattern.fullmatch(argument):
                return f"argument {position + 1} is not allowed, it must match {pattern.pattern}"
    return ""
