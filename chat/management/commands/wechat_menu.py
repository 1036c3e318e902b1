"""`manage.py wechat_menu [--lang LANG | --show | --delete]`: the buttons under the chat of the official account."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _

from chat.menu import is_same_menu, menu_buttons, menu_lines
from notifications.drivers.base import ChannelError
from notifications.drivers.registry import driver_of
from notifications.wechat.client import OfficialAccount, official_account


class Command(BaseCommand):
    """Create, show or delete the menu. A second run changes nothing."""

    help = "Give the official account its menu, whose buttons send chat commands. People see it within a day."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --show, --delete and --lang."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--show", action="store_true", help="print the account's menu and change nothing")
        what.add_argument("--delete", action="store_true", help="delete the menu")
        parser.add_argument(
            "--lang",
            choices=[code for code, _name in settings.LANGUAGES],
            default=settings.LANGUAGE_CODE,
            help="language of the buttons, the same for every follower",
        )

    def handle(self, *, show: bool, delete: bool, lang: str, **_options: object) -> None:
        """Print the result in one line; exit with status 1 and one sentence if WeChat refuses."""
        account = official_account()
        if account is None:
            raise CommandError(
                _("This server has no official account. Set LETSERVER_WECHAT_KIND and the settings that belong to it.")
            )
        try:
            self._do(account, show=show, delete=delete, lang=lang)
        except ChannelError as error:
            meaning = driver_of("wechat").explain(error.code)
            said = f"{error.code}, {meaning}" if meaning else error.code
            raise CommandError(_("WeChat refused: %(said)s.") % {"said": said}) from error

    def _do(self, account: OfficialAccount, *, show: bool, delete: bool, lang: str) -> None:
        there = account.menu()
        with translation.override(lang):
            wanted = menu_buttons()
        if show:
            self.stdout.write("\n".join(menu_lines(there)) or _("The account has no menu."))
        elif delete:
            if there:
                account.delete_menu()
            self.stdout.write(_("The menu is deleted.") if there else _("The account has no menu."))
        elif is_same_menu(there, wanted):
            self.stdout.write(_("The menu is up to date."))
        else:
            account.set_menu(wanted)
            self.stdout.write("\n".join([_("The menu is set:"), *menu_lines(wanted)]))
