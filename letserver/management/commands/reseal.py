"""`manage.py reseal`: encrypt every sealed value again, with a new key in front of LETSERVER_SEALING_KEYS.

It may run beside the server. A value that has changed since it was read was encrypted with the new key and is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import CharField, Model, TextField
from django.utils.translation import gettext as _

from kernel.commands import one_sentence_errors
from kernel.sealing import Unsealable, derived_key, reseal


class Command(BaseCommand):
    """Encrypt every sealed column of every model again."""

    help = "Seal every secret in the database with the first of LETSERVER_SEALING_KEYS, so that the others can go."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --show-derived-key."""
        parser.add_argument(
            "--show-derived-key",
            action="store_true",
            help="print the key that is in use while LETSERVER_SEALING_KEYS is empty, to put it there behind a new one",
        )

    def handle(self, **options: object) -> None:
        """Print the number of values; exit with status 1 if some can no longer be decrypted."""
        if options["show_derived_key"]:
            self.stdout.write(derived_key())
            return
        sealed, lost = 0, 0
        with one_sentence_errors():
            for model, column in sealed_columns():
                rows = model._default_manager.exclude(**{column: ""})
                for row_id, value in rows.values_list("pk", column).iterator(chunk_size=500):
                    try:
                        again = reseal(value)
                    except Unsealable:
                        lost += 1
                    else:
                        sealed += model._default_manager.filter(pk=row_id, **{column: value}).update(**{column: again})
        self.stdout.write(_("%(number)s secrets sealed with the first key.") % {"number": sealed})
        if lost:
            raise CommandError(
                _("%(number)s secrets open with none of the keys. Put the key back that sealed them.")
                % {"number": lost}
            )


def sealed_columns() -> Iterator[tuple[type[Model], str]]:
    """Yield every column that `kernel.sealing` encrypts, by its name: `sealed`, `sealed_…` or `…_sealed`."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if "sealed" in field.name.split("_") and isinstance(field, CharField | TextField):
                yield model, field.name
