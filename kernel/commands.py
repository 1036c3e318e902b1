"""Errors of management commands: one sentence on stderr and exit status 1, never a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils.translation import gettext as _

from kernel.errors import AppError


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn the errors of services and of the database into a CommandError."""
    try:
        yield
    except AppError as error:
        raise CommandError(error.message) from error
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    except DatabaseError as error:
        sentence = _("The database does not answer as it should (%(error)s). Is it up, and migrated?")
        raise CommandError(sentence % {"error": " ".join(str(error).split())}) from error
