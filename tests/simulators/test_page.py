"""The chat page in a browser: a person follows, writes, is answered, and sees the logged requests."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from devtools.simulator.client import Simulator
from devtools.simulator.crypto import xml_fields
from tests.console.browser import Watch, chromium
from tests.simulators.callee import Callee, Taken
from tests.simulators.caller import Caller
from tests.simulators.test_wechat import GOOD, INFO_TEMPLATE

pytestmark = [pytest.mark.browser, pytest.mark.sqlite_only]

_WIDE = 1008
"""Pixels from which the page shows all views beside each other."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium."""
    expect.set_options(timeout=15_000)
    with chromium() as browser:
        yield browser
    expect.set_options(timeout=5_000)


def _echo(taken: Taken) -> tuple[int, bytes]:
    """Reply with the same text and a link that says `help`."""
    push = xml_fields(taken.body)
    sender, receiver, said = push["FromUserName"], push["ToUserName"], push.get("Content", "welcome")
    text = f'{said}! <a href="weixin://bizmsgmenu?msgmenucontent=help&amp;msgmenuid=1">more</a> <b>'
    head = f"<ToUserName>{sender}</ToUserName><FromUserName>{receiver}</FromUserName><CreateTime>1</CreateTime>"
    return 200, f"<xml>{head}<MsgType>text</MsgType><Content><![CDATA[{text}]]></Content></xml>".encode()


@pytest.fixture
def width() -> int:
    """The width of a phone, unless a test sets another."""
    return 390


@pytest.fixture
def page(width: int, browser: Browser, sim: Simulator, callee: Callee) -> Iterator[Page]:
    """The page in this width; an error on it fails the test."""
    callee.answer = _echo
    sim.account(callback_url=callee.url, mode="plain")
    page = browser.new_page(viewport={"width": width, "height": 844})
    watch = Watch(base=sim.base)
    watch.over(page)
    page.goto(sim.page)
    yield page
    watch.fits(page)
    page.close()
    assert watch.found == []


def _go(page: Page, view: str) -> None:
    """Switch to a view, if the window is so small that only one is shown."""
    if page.viewport_size and page.viewport_size["width"] < _WIDE:
        page.locator(f"[data-go={view}]:visible").first.click()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_person_holds_the_whole_conversation(page: Page, sim: Simulator) -> None:
    page.locator("#first").click()
    _go(page, "people")
    page.locator("#add-name").fill("小红")
    page.locator("#add button").click()
    expect(page.locator("#badges")).to_contain_text("小红")
    page.locator("#follow").click()
    expect(page.locator(".bubble").last).to_have_text("welcome! more <b>")
    page.locator("#line").fill("<i>hi</i>")
    page.locator("#line").press("Enter")
    expect(page.locator(".mine .bubble").last).to_have_text("<i>hi</i>")
    expect(page.locator(".line:not(.mine) .bubble").last).to_have_text("<i>hi</i>! more <b>")
    page.locator(".choice").last.click()
    expect(page.locator(".mine .bubble").last).to_have_text("help")
    expect(page.locator("#badges")).to_contain_text("客服余额 23")

    alice = next(chat["id"] for chat in sim.state()["chats"] if chat["name"] == "小红")
    call = Caller(sim)
    call.wechat(
        "message/template/send",
        {"touser": alice, "template_id": INFO_TEMPLATE, "data": GOOD, "url": "https://letserver.example/m/1"},
    )
    expect(page.locator(".card h3")).to_have_text("任务通知")
    expect(page.locator(".card a")).to_have_attribute("href", "https://letserver.example/m/1")
    call.wechat("menu/create", {"button": [{"type": "click", "name": "状态", "key": "status"}]})
    page.locator("#to-menu").click()
    page.get_by_role("button", name="状态").click()
    expect(page.locator(".system").last).to_contain_text("status")

    _go(page, "wire")
    page.locator("#hops summary").first.click()
    expect(page.locator("#hops details[open]")).to_contain_text("signature")
    page.locator("#language").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_buttons_move_time_cut_the_line_and_scan(page: Page, sim: Simulator) -> None:
    alice = sim.user("alice")
    sim.follow(alice)
    call = Caller(sim)
    scene = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "login:7"}}, "expire_seconds": 300}
    code = call.wechat("qrcode/create", scene)
    page.locator("#more").click()
    page.locator("[data-tile=scan]").click()
    page.get_by_role("button", name="login:7").click()
    expect(page.locator(".system").last).to_contain_text("login:7")
    page.locator("[data-tile=offline]").click()
    expect(page.locator("[data-tile=offline]")).to_have_attribute("aria-pressed", "true")
    assert [fault["action"] for fault in sim.faults()] == ["drop_connection"] * 2
    page.locator("[data-tile=heal]").click()
    expect(page.locator("[data-tile=heal]")).to_have_count(0)
    page.locator("[data-tile=plus_48]").click()
    expect(page.locator("#badges")).to_contain_text("无客服窗口")
    page.goto(urlsplit(sim.page)._replace(path=urlsplit(code["url"]).path).geturl())
    page.locator("#scan-people .person").click()
    expect(page.locator(".system").last).to_have_text("二维码已过期")
