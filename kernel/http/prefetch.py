"""Who fetches a link without a person having asked: a GET that sends must send nothing for them."""

from __future__ import annotations

import re

from rest_framework.request import Request

# Sec-Purpose: W3C Fetch; Purpose, X-Purpose, X-Moz: what browsers sent before.
_PURPOSE_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
# Chats and networks that fetch links to show a preview, by the names that they publish for their robots.
_PREVIEW_BOTS = re.compile(
    r"facebookexternalhit|facebookcatalog|twitterbot|slackbot|slack-imgproxy|telegrambot|whatsapp|discordbot|linkedinbot"
    r"|skypeuripreview|microsoftpreview|bingpreview|googlebot|bingbot|applebot|baiduspider|mastodon|viber|line-poker"
    r"|pinterestbot|redditbot|embedly|iframely|vkshare",
    re.IGNORECASE,
)


def is_prefetch(request: Request) -> bool:
    """Tell whether a browser fetches ahead, or a robot makes a preview."""
    purposes = " ".join(request.headers.get(name, "") for name in _PURPOSE_HEADERS).lower()
    if "prefetch" in purposes or "preview" in purposes or "prerender" in purposes:
        return True
    return _PREVIEW_BOTS.search(request.headers.get("User-Agent", "")) is not None
