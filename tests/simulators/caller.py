"""Calls the platforms in the simulator's own tests: plain HTTP, without the product's code."""

from __future__ import annotations

from typing import Any

import requests

from devtools.simulator.client import Simulator


class Caller:
    """The program of one account. It fetches its token on first use."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._token = ""

    def raw(self, method: str, path: str, **more: Any) -> requests.Response:
        """Call an address of the simulator."""
        return self._sim.session.request(method, self._sim.base + path, timeout=10, **more)

    def post(self, path: str, body: Any, **query: str) -> Any:
        """POST JSON and return the JSON."""
        return self.raw("POST", path, json=body, params=query).json()

    def stable(self, **more: Any) -> Any:
        """`stable_token` with the account's own names."""
        account = self._sim.control("GET", "account")
        named = {"grant_type": "client_credential", "appid": account["appid"], "secret": account["secret"]}
        return self.post("/cgi-bin/stable_token", {**named, **more})

    def wechat(self, path: str, body: Any = None, *, token: str = "", **query: str) -> Any:
        """Call the official account's API; GET without a body."""
        self._token = self._token or self.stable()["access_token"]
        method = "GET" if body is None else "POST"
        params = {"access_token": token or self._token, **query}
        return self.raw(method, f"/cgi-bin/{path}", json=body, params=params).json()

    def say(self, openid: str, text: str) -> int:
        """Send a customer-service text and return its code."""
        body = {"touser": openid, "msgtype": "text", "text": {"content": text}}
        return int(self.wechat("message/custom/send", body)["errcode"])
