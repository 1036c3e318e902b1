"""Model fields that every app shares."""

from __future__ import annotations

from typing import Any

from django.db import models

from kernel.ids import ID_LENGTH, new_id


class IdField(models.CharField):  # type: ignore[type-arg]  # not subscriptable at run time
    """Primary key: an id in text, made by the application (`kernel.ids`), so that a batch needs no RETURNING."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", ID_LENGTH)
        kwargs.setdefault("primary_key", True)
        kwargs.setdefault("default", new_id)
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)
