#!/usr/bin/env python
"""Django's command line. Without settings of its own it speaks to the instance that `make up` runs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letserver.settings")
    from letserver.private import NotOurs, make_files_private
    from letserver.up.folder import borrow_environment

    make_files_private()
    try:
        borrow_environment()
    except NotOurs as error:
        raise SystemExit(f"{error.chinese}\n{error.english}") from error
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
