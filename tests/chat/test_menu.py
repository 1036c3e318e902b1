"""The official account's menu: made once, shown, taken away; what its buttons say is understood."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from chat.commands.registry import find_command
from chat.menu import Button, menu_buttons
from devtools.simulator.client import Simulator

pytestmark = pytest.mark.sqlite_only


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """The process."""
    with Simulator.start(seed=9) as simulator:
        yield simulator


@pytest.fixture
def sim(simulator: Simulator, settings: Any) -> Simulator:
    """The process without a past, and a product that has its account."""
    simulator.reset()
    wechat = simulator.account()
    settings.WECHAT_KIND, settings.LANGUAGE_CODE = "service", "en"
    for name in ("appid", "secret", "token", "aes_key"):
        setattr(settings, f"WECHAT_{name.upper()}", wechat[name])
    settings.WECHAT_API_BASE = simulator.base
    return simulator


def _run(*options: str) -> str:
    out = io.StringIO()
    with translation.override("en"):
        call_command("wechat_menu", *options, stdout=out)
    return out.getvalue()


def _made(sim: Simulator) -> int:
    return len(sim.calls("/cgi-bin/menu/create"))


def test_the_menu_is_made_once_shown_and_taken_away(sim: Simulator) -> None:
    assert "no menu" in _run("--show")
    assert "Status → status" in _run("--lang", "en")
    assert _made(sim) == 1
    assert "up to date" in _run("--lang", "en")
    assert _made(sim) == 1
    shown = _run("--show").splitlines()
    assert shown[:4] == ["Status → status", "Jobs → jobs", "More", "  Help → help"]
    assert shown[-1].endswith("/console/")
    # An existing menu is replaced.
    assert "状态 → status" in _run("--lang", "zh-hans")
    assert _made(sim) == 2
    assert "deleted" in _run("--delete")
    assert "no menu" in _run("--delete")
    assert "no menu" in _run("--show")
    assert len(sim.calls("/cgi-bin/menu/delete")) == 1


def test_what_wechat_refuses_is_said_with_its_code(sim: Simulator, settings: Any) -> None:
    sim.fault("errcode:48001", "/cgi-bin/menu/create")
    with pytest.raises(CommandError, match=r"48001, the account may not do this\."):
        _run("--lang", "en")
    sim.fault("http:502", "/cgi-bin/menu/get")
    with pytest.raises(CommandError, match="http 502"):
        _run("--show")
    sim.heal()
    # A refusal is no reason to believe that there is a menu.
    assert "no menu" in _run("--show")
    settings.WECHAT_KIND = ""
    with pytest.raises(CommandError, match="LETSERVER_WECHAT_KIND"):
        _run("--lang", "en")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_button_fits_and_says_a_command(language: str, settings: Any) -> None:
    settings.PUBLIC_URL = "https://" + "a" * 253
    with translation.override(language):
        buttons = menu_buttons()
    assert 1 <= len(buttons) <= 3
    for button in buttons:
        _check(button, name_bytes=16)
        below = button.get("sub_button", [])
        assert isinstance(below, list)
        assert len(below) <= 5
        for one in below:
            _check(one, name_bytes=60)


def _check(button: Button, *, name_bytes: int) -> None:
    assert 1 <= len(str(button["name"]).encode()) <= name_bytes
    if "key" in button:
        assert find_command(str(button["key"]).split()) is not None
    assert len(str(button.get("url", "")).encode()) <= 1024
