"""Sealed text opens with any of the keys, and with none that is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from kernel.sealing import Unsealable, reseal, seal, unseal

pytestmark = pytest.mark.sqlite_only


def test_what_was_sealed_is_not_to_be_seen_and_comes_back() -> None:
    sealed = seal("lsu_秘密😀")
    assert sealed.isascii()
    assert "lsu_" not in sealed
    assert seal("lsu_秘密😀") != sealed
    assert unseal(sealed) == "lsu_秘密😀"


def test_new_key_in_front_seals_and_the_old_one_opens_until_it_is_taken_out(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.SEALING_KEYS = [old]
    sealed = seal("x")
    settings.SEALING_KEYS = [new, old]
    again = reseal(sealed)
    assert unseal(sealed) == unseal(again) == "x"
    settings.SEALING_KEYS = [new]
    assert unseal(again) == "x"
    with pytest.raises(Unsealable):
        unseal(sealed)
    with pytest.raises(Unsealable):
        reseal(sealed)


def test_without_keys_the_secret_key_seals(settings: Any) -> None:
    settings.SEALING_KEYS = []
    sealed = seal("x")
    settings.SECRET_KEY = "another secret key of at least 32 characters"
    with pytest.raises(Unsealable):
        unseal(sealed)


@pytest.mark.parametrize("damaged", ["", "x", "gAAAAA", "好"])
def test_what_we_have_not_sealed_is_told_so(damaged: str) -> None:
    with pytest.raises(Unsealable):
        unseal(damaged)
