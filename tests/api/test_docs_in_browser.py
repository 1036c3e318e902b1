"""/api/docs in a real browser, under the policy of every page: it draws the schema and loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.contract import schema
from tests.console.browser import CHROMIUM, Watch, chromium
from tests.lanes.live import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
]


def test_docs_page_draws_every_operation_and_breaks_no_rule(live_on: LiveServer) -> None:
    with chromium() as browser:
        page, watch = browser.new_page(), Watch(base=live_on.base)
        watch.over(page)
        page.goto(f"{live_on.base}/api/docs")
        page.get_by_text("/agents/{agent_id}/token").first.wait_for()
        assert page.locator(".opblock").count() == sum(map(len, schema()["paths"].values()))
        page.locator(".opblock-summary").first.click()
        page.get_by_role("button", name="Try it out").first.wait_for()
        assert watch.found == []
