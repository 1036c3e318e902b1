"""The settings that group robots of Feishu and DingTalk share: secret, keyword, allowed addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devtools.simulator.base import keep_known


@dataclass(slots=True, kw_only=True)
class Robot:
    """One robot. An empty value turns its check off."""

    secret: str = ""
    keyword: str = ""
    ip_allow: list[str] = field(default_factory=list)
    gone: bool = False

    def configure(self, options: Mapping[str, object]) -> None:
        """Change it. Raises ValueError."""
        known = {"secret": str, "keyword": str, "ip_allow": list, "gone": bool}
        for name, value in keep_known(options, known).items():
            setattr(self, name, value)


def all_text(value: object) -> str:
    """Return all texts inside a message, a line each: a person reads them, and the keyword must be among them."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        # Type names and signatures are not shown to a person.
        inner = (
            item for name, item in value.items() if name not in ("tag", "msgtype", "msg_type", "sign", "timestamp")
        )
        return "\n".join(filter(None, map(all_text, inner)))
    if isinstance(value, list):
        return "\n".join(filter(None, map(all_text, value)))
    return ""
