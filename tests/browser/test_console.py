"""A newcomer's path in a real browser, with the real server and a real agent process, in every colour scheme."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.browser import CHROMIUM, Camera, Look, Watch, chromium
from tests.console.conftest import PASSWORD
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT
from tests.skadi.support import AgentProcess

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
]

LOOKS = [
    Look(language="zh", width=1280, scheme="light"),
    Look(language="zh", width=360, scheme="dark"),
    Look(language="en", width=1280, scheme="dark"),
    Look(language="en", width=360, scheme="light"),
]
PICTURES = frozenset(
    {
        "login-zh-360-dark.png",
        "first-steps-zh-1280-light.png",
        "new-agent-zh-1280-light.png",
        "job-zh-1280-light.png",
        "overview-zh-360-dark.png",
        "job-zh-360-dark.png",
        "overview-en-1280-dark.png",
        "job-en-1280-dark.png",
        "account-en-1280-dark.png",
        "jobs-en-360-light.png",
        "agents-en-360-light.png",
        "admin-zh-1280-light.png",
        "channels-en-360-light.png",
        "message-en-360-light.png",
        "letter-en-360-light.png",
    }
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with chromium() as started:
        yield started


def _owner(live: LiveServer, name: str) -> None:
    live.manage("first_start", stdin=json.dumps({"username": name, "password": PASSWORD}))


def _log_in(page: Page, base: str, name: str) -> None:
    page.goto(base + "/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("main form button")
    page.wait_for_url("**/console/")


def _add_agent(page: Page, base: str, camera: Camera) -> str:
    """Add an agent with the form; return the configuration file that the page shows."""
    page.goto(base + "/console/agents/add")
    page.fill("[name=name]", "web-1")
    page.fill("[name=alias]", "网站" if camera.look.language == "zh" else "site")
    page.fill("[name=remark]", "nginx, 找小林" if camera.look.language == "zh" else "nginx, ask Lin")
    page.click("main form button")
    expect(page.locator("#fresh-token")).to_be_visible()
    camera.shoot(page, "new-agent")
    lines = page.locator("#fresh-token code", has_text="skadi.yml <<").inner_text()
    page.reload()
    expect(page.locator("#fresh-token")).to_have_count(0)
    return lines.partition("<<'END'\n")[2].removesuffix("\nEND") + "\n"


@pytest.mark.parametrize(
    "look",
    [pytest.param(one, marks=[] if one in LOOKS[1:3] else [pytest.mark.long]) for one in LOOKS],
    ids=str,
)
def test_from_the_login_to_the_first_result(
    look: Look, browser: Browser, live_on: LiveServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"lin{LOOKS.index(look)}"
    _owner(live_on, name)
    # French is not supported: the pages are in the server's language, Chinese.
    context = browser.new_context(
        viewport={"width": look.width, "height": 800},
        locale="fr-FR",
        color_scheme=look.scheme,  # type: ignore[arg-type]
    )
    page, watch = context.new_page(), Watch(live_on.base)
    watch.over(page)
    folder = ROOT / "docs" / "screenshots" if request.config.getoption("--screenshots", default=False) else None
    camera = Camera(watch=watch, look=look, folder=folder, wanted=PICTURES)

    page.goto(live_on.base + "/")
    if look.language == "en":
        page.click("button[name=language]")
    expect(page.locator("html")).to_have_attribute("lang", {"zh": "zh-Hans", "en": "en"}[look.language])
    camera.shoot(page, "login")
    _log_in(page, live_on.base, name)
    agent = AgentProcess(tmp_path, live_on.base)
    agent.write(_add_agent(page, live_on.base, camera))
    agent.start()
    try:
        _follow_the_steps(page, live_on.base, camera)
        _look_around(page, live_on.base, camera)
    finally:
        agent.stop()
        context.close()
    assert watch.found == []


_LINK = """
from notifications.messages.links import confirmation_url
from notifications.models import Channel
print(confirmation_url(Channel.objects.get(owner__username="mei", driver="email").pk, "mei@example.com"))
"""

# Send the deliveries as a worker would, in sequence.
_DELIVER = """
from notifications.models import Delivery
from notifications.deliveries.sending import deliver
for pk in Delivery.objects.filter(owner__username="mei", state="pending").order_by("pk").values_list("pk", flat=True):
    deliver(pk)
"""


@pytest.mark.long
def test_channels_and_messages_on_a_phone(
    browser: Browser, live_on: LiveServer, request: pytest.FixtureRequest
) -> None:
    """Add channels, reorder them, send, read the result, retry, withdraw, open the page behind the link."""
    _owner(live_on, "mei")
    context = browser.new_context(viewport={"width": 360, "height": 800}, locale="en-GB", color_scheme="light")
    page, watch = context.new_page(), Watch(live_on.base)
    watch.over(page)
    folder = ROOT / "docs" / "screenshots" if request.config.getoption("--screenshots", default=False) else None
    camera = Camera(watch=watch, look=LOOKS[3], folder=folder, wanted=PICTURES)
    _log_in(page, live_on.base, "mei")
    page.click(".rooms a[href$='/channels']")
    for driver, values in (("email", {"to": "mei@example.com"}), ("wecom_robot", {"key": "0123-4567-89ab-cdef"})):
        page.goto(live_on.base + "/console/channels")
        page.click(".head a[role=button]")
        camera.shoot(page, "services")
        page.click(f"a[href='?driver={driver}']")
        for name, value in values.items():
            page.fill(f"[name=settings-{name}]", value)
        camera.shoot(page, "new-channel")
        page.click("main form button")
        expect(page.locator(".notice.success")).to_be_visible()
        camera.shoot(page, "channel")
    # The address in the confirmation mail, which is not sent in this test.
    token = live_on.manage("shell", "--no-imports", stdin=_LINK).strip().rpartition("/")[2]
    page.goto(f"{live_on.base}/c/{token}")
    camera.shoot(page, "mailbox")
    page.click("main form button")
    expect(page.locator("main h1")).to_contain_text("is confirmed")
    page.goto(live_on.base + "/console/channels")
    page.locator("button[value=up]").last.click()
    expect(page.locator("tbody .channel-name").first).to_contain_text("WeCom robot")
    page.locator("button[value=down]").first.click()
    expect(page.locator("tbody .channel-name").first).to_contain_text("E-mail")
    page.goto(live_on.base + "/console/channels")
    page.click("text=WeCom robot")
    page.click("button[name=to][value=off]")
    expect(page.locator(".head .danger, .head button[value=on]")).to_be_visible()
    page.click(".rooms a[href$='/messages']")
    page.click(".empty-state a[role=button]")
    page.fill("[name=title]", "Disk is nearly full")
    page.fill("[name=text]", "/data has 3 % left. The largest folders:\n  /data/logs   412 GiB\n  /data/cache   88 GiB")
    page.select_option("[name=level]", "error")
    page.click("main form button")
    page.wait_for_url("**/console/messages/*-*")
    live_on.manage("shell", stdin=_DELIVER)
    # The page updates without a reload. There is no mail server, and the next channel is disabled.
    expect(page.locator(".deliveries li.is-dead")).to_contain_text("This server has no mail server", timeout=20_000)
    camera.shoot(page, "message")
    page.click("a[href^='/m/']")
    expect(page.locator(".message-text")).to_contain_text("/data/logs")
    camera.shoot(page, "letter")
    page.go_back()
    page.click("form[action$='/replay'] button")
    expect(page.locator(".deliveries li.is-pending")).to_be_visible()
    page.click("form[action$='/withdraw'] button")
    expect(page.locator(".deliveries li.is-withdrawn")).to_be_visible()
    page.click(".rooms a[href$='/messages']")
    camera.shoot(page, "messages")
    page.click(".rooms a[href$='/channels']")
    camera.shoot(page, "channels")
    context.close()
    assert watch.found == []


def _follow_the_steps(page: Page, base: str, camera: Camera) -> None:
    """Wait until the agent is online, send `date` from the overview, read the result."""
    page.goto(base + "/console/agents")
    # htmx refreshes the rows every few seconds, without a reload.
    expect(page.locator("tr", has_text="web-1").locator(".presence.on")).to_be_visible(timeout=20_000)
    camera.shoot(page, "agents")
    page.goto(base + "/console/")
    expect(page.locator("#first-steps li.done")).to_have_count(1)
    camera.shoot(page, "first-steps")
    page.click("#first-steps button")
    page.wait_for_url("**/console/jobs/*")
    expect(page.locator(".pill-succeeded")).to_be_visible(timeout=20_000)
    expect(page.locator("pre.output")).to_contain_text(re.compile(r"20\d\d"))
    expect(page.locator("#job")).not_to_have_attribute("hx-trigger", "every 1s")
    expect(page.locator(".timeline li")).to_have_count(4)
    camera.shoot(page, "job")
    page.goto(base + "/console/")
    expect(page.locator("#first-steps")).to_have_count(0)


def _look_around(page: Page, base: str, camera: Camera) -> None:
    """Run again, send a refused command, list jobs, create and revoke a token, change the colours, confirm."""
    page.goto(base + "/console/jobs")
    page.locator("tbody a").first.click()
    page.locator("form[action$='/again'] button").click()
    expect(page.locator(".pill-succeeded")).to_be_visible(timeout=20_000)
    page.goto(base + "/console/jobs/send?message=reboot")
    page.click("main form button")
    expect(page.locator(".pill-failed")).to_be_visible(timeout=20_000)
    page.locator("details summary", has_text="curl").click()
    expect(page.locator("[data-copy] code")).to_contain_text('"message": "reboot"')
    page.goto(base + "/console/jobs")
    expect(page.locator("tbody tr")).to_have_count(3)
    camera.shoot(page, "jobs")
    page.select_option("[name=status]", "failed")
    page.wait_for_url("**status=failed**")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(base + "/console/")
    camera.shoot(page, "overview")

    page.goto(base + "/console/account")
    page.click("form[action$='/tokens'] button")
    expect(page.locator("#fresh-token")).to_be_visible()
    camera.shoot(page, "account")
    page.locator("a[data-ask]").first.click()
    page.locator("dialog .danger").click()
    expect(page.locator(".notice.success")).to_be_visible()

    _switch_the_look(page)
    page.goto(base + "/console/agents")
    page.click("text=web-1")
    page.locator("a[href$='/delete']").click()
    expect(page.locator("dialog[open]")).to_be_visible()
    camera.shoot(page, "question")
    page.locator("dialog [data-close]").click()
    expect(page.locator("dialog")).to_have_count(0)
    page.goto(base + "/api/docs")
    expect(page.locator("#swagger-ui")).to_contain_text("LetServer")
    page.goto(base + "/admin/")
    expect(page.locator("#content")).to_be_visible()
    camera.shoot(page, "admin")


def _switch_the_look(page: Page) -> None:
    """Choose light, dark and system colours: the background changes, and the choice is kept on the next page."""
    background = "getComputedStyle(document.body.parentElement).backgroundColor"
    seen = []
    for theme in ("light", "dark"):
        page.click("[data-theme-switch] button")
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        seen.append(page.evaluate(background))
        expect(page.locator(f"[data-theme-switch] button:not([value={theme}])")).to_be_visible()
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    assert seen[0] != seen[1]
    page.click("[data-theme-switch] button")
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile("."))
    expect(page.locator("[data-theme-switch] button[value=light]")).to_be_visible()


def test_without_javascript_a_job_is_sent_and_followed(browser: Browser, live_on: LiveServer, tmp_path: Path) -> None:
    _owner(live_on, "plain")
    context = browser.new_context(locale="en-GB", java_script_enabled=False)
    page, watch = context.new_page(), Watch(live_on.base)
    watch.over(page)
    _log_in(page, live_on.base, "plain")
    camera = Camera(watch=watch, look=LOOKS[3], folder=None, wanted=PICTURES)
    agent = AgentProcess(tmp_path, live_on.base)
    agent.write(_add_agent(page, live_on.base, camera))
    page.goto(live_on.base + "/console/jobs/send?message=date")
    page.select_option("[name=agent]", label="web-1 (site) – offline")
    page.select_option("[name=wait]", "3600")
    page.click("main form button")
    page.wait_for_url("**/console/jobs/*-*")
    expect(page.locator(".pill-queuing")).to_be_visible()
    agent.start()
    try:
        # The page reloads itself with a meta element.
        expect(page.locator(".pill-succeeded")).to_be_visible(timeout=20_000)
    finally:
        agent.stop()
    page.goto(live_on.base + "/console/agents")
    page.click("text=web-1")
    page.click("a[href$='/delete']")
    page.check("[name=force]")
    page.click(".danger")
    expect(page.locator(".notice.success")).to_be_visible()
    context.close()
    assert watch.found == []
