"""Requests of browsers and robots that fetch a link before a person opens it. A GET that sends must ignore them."""

from __future__ import annotations

import re

from rest_framework.request import Request

# Sec-Purpose is W3C Fetch; older browsers send Purpose, X-Purpose or X-Moz.
_PURPOSE_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
# The published names of the robots with which chats and networks fetch links for a preview.
_PREVIEW_BOTS = re.compile(
    r"facebookexternalhit|facebookcatalog|twitterbot|slackbot|slack-imgproxy|telegrambot|whatsapp|discordbot|linkedinbot"
    r"|skypeuripreview|microsoftpreview|bingpreview|googlebot|bingbot|applebot|baiduspider|mastodon|viber|line-poker"
    r"|pinterestbot|redditbot|embedly|iframely|vkshare",
    re.IGNORECASE,
)


def is_prefetch(request: Request) -> bool:
    """Tell whether a browser prefetches the link, or a robot makes a preview."""
    purposes = " ".join(request.headers.get(name, "") for name in _PURPOSE_HEADERS).lower()
    if "prefetch" in purposes or "preview" in purposes or "prerender" in purposes:
        return True
    return _PREVIEW_BOTS.search(request.headers.get("User-Agent", "")) is not None
