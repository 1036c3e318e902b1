"""`help` lists the commands; `help WORD` explains one of them."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat.commands.registry import Call, Command, Reply, all_commands
from chat.commands.words import folded


def run_help(call: Call) -> Reply:
    """List the usage of every command, or explain the commands that begin with a word."""
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
        _("A single character gets no answer. It only keeps this chat open for messages."),
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
