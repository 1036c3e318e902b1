"""The menu of the official account: each button sends a command, as if the person had typed it.

Limits (https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Creating_Custom-Defined_Menu.html): three buttons,
five below each; names of 16 and 60 bytes, keys of 128, addresses of 1024.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from django.conf import settings
from django.utils.translation import gettext as _

Button = Mapping[str, object]

_COMPARED = ("type", "name", "key", "url")


def menu_buttons() -> list[Button]:
    """Return the buttons, named in the active language."""
    more = [
        _says(_("Help"), "help"),
        _says(_("What I have"), "me"),
        _says(_("Invite others"), "poster"),
        {"type": "view", "name": _("Console"), "url": f"{settings.PUBLIC_URL}/console/"},
    ]
    return [_says(_("Status"), "status"), _says(_("Jobs"), "jobs"), {"name": _("More"), "sub_button": more}]


def menu_lines(buttons: Sequence[Button], indent: str = "") -> Iterator[str]:
    """Yield one line per button: its name, and its command or address."""
    for button in buttons:
        leads = str(button.get("key") or button.get("url") or "")
        yield f"{indent}{button.get('name')}" + (f" → {leads}" if leads else "")
        yield from menu_lines(_below(button), indent + "  ")


def is_same_menu(one: Sequence[Button], other: Sequence[Button]) -> bool:
    """Tell whether two menus have the same names and actions. WeChat returns more fields than it was sent."""
    return _essence(one) == _essence(other)


def _says(name: str, command: str) -> Button:
    return {"type": "click", "name": name, "key": command}


def _essence(buttons: Sequence[Button]) -> list[object]:
    return [
        [{name: button[name] for name in _COMPARED if button.get(name)}, _essence(_below(button))] for button in buttons
    ]


def _below(button: Button) -> Sequence[Button]:
    below = button.get("sub_button")
    return below if isinstance(below, list) else []
