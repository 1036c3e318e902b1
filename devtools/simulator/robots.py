"""What group robots of Feishu and DingTalk have in common: a key in the address, a secret, a keyword, networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devtools.simulator.base import keep_known


@dataclass(slots=True, kw_only=True)
class Robot:
    """One robot. Empty: that check is off."""

    secret: str = ""
    keyword: str = ""
    ip_allow: list[str] = field(default_factory=list)
    gone: bool = False

    def configure(self, wish: Mapping[str, object]) -> None:
        """Change it. Raises ValueError."""
        known = {"secret": str, "keyword": str, "ip_allow": list, "gone": bool}
        for name, value in keep_known(wish, known).items():
            setattr(self, name, value)


def all_text(value: object) -> str:
    """Every text inside of a message, in a row: where a keyword is looked for, and what a person reads."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        # Names of kinds and colours are no text that anybody reads.
        inner = (
            item for name, item in value.items() if name not in ("tag", "msgtype", "msg_type", "sign", "timestamp")
        )
        return "\n".join(filter(None, map(all_text, inner)))
    if isinstance(value, list):
        return "\n".join(filter(None, map(all_text, value)))
    return ""
