"""Allowed entries that permit more than they seem to; `skadi check` names them."""

from __future__ import annotations

import shutil

from skadi.entries import Entry
from skadi.programs import walk
from skadi.template import Placeholder, WordTemplate


def risks_of(entry: Entry) -> list[str]:
    """Return sentences about what this entry allows beyond its text."""
    risks = []
    if entry.unsafe:
        risks.append("`match: string` lets a message run any command, as in the original; remove it if you can")
    if not entry.args and not entry.unsafe and not entry.refusal:
        risks += _risks_of_values(entry)
    if not entry.shell and not entry.refusal and entry.words and not entry.directory:
        path = entry.env.get("PATH")
        if not shutil.which(entry.words[0], path=path) and "/" not in entry.words[0]:
            risks.append(f"{entry.words[0]} was not found on this machine")
    return risks


def _risks_of_values(entry: Entry) -> list[str]:
    """Return what the arguments of a command can do, or the values of a template that may begin with a dash."""
    if entry.kind == "command" and entry.max_args > 0:
        found = walk([*((word,) for word in entry.words), (Placeholder(0),)], entry.options_allowed)
        if found.refusal:
            return [f"{found.refusal}; say what is allowed with args or max_args"]
        says = "with free arguments {} can run other programs; say what is allowed with args or max_args"
    elif isinstance(entry.template, WordTemplate) and entry.options_allowed and entry.template.placeholders:
        found = walk(entry.template.words, True)
        says = "with `options: allow` {} can run other programs; say what is allowed with args"
    else:
        return []
    return [says.format(" and ".join(dict.fromkeys(found.programs)))] if found.programs else []
