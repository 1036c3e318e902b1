"""`help`: what can be said, short; `help WORD`: one subject in full."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat.commands.registry import Call, Command, Reply, all_commands
from chat.commands.words import folded


def run_help(call: Call) -> Reply:
    """List every command by its usage, or explain those that begin with a word."""
    shown = [command for command in all_commands() if not command.hidden]
    if call.words:
        asked = folded(call.words[0])
        about = [c for c in shown if any(folded(phrase.split()[0]) == asked for phrase in c.phrases)]
        if about:
            return Reply(text="\n\n".join(f"{command.usage}\n{command.summary}" for command in about))
    lines = [_("What you can say:"), *(str(command.usage) for command in shown)]
    lines += [
        _("AGENT TEXT – a job for one of your agents, such as “nas date”"),
        _("AGENT help – what that agent takes"),
        _("“help agent” tells more about agents, and so on."),
        _("Any single character is not answered. It keeps this conversation open for messages."),
    ]
    return Reply(text="\n".join(lines))


COMMANDS = (
    Command(
        phrases=("help", "帮助"),
        usage=gettext_lazy("help – this list"),
        summary=gettext_lazy("“help WORD” explains one command."),
        run=run_help,
        words=(0, 2),
    ),
)
