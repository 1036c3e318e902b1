"""Templates of the official account, and the rules for their fields (微信开放文档 · 订阅消息 · 参数值内容限制说明)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

INFO_TEMPLATE: Final = "TM-letserver-simulator-info-000000000000001"
WARNING_TEMPLATE: Final = "TM-letserver-simulator-warning-000000000002"
PLAIN_TEMPLATE: Final = "TM-letserver-simulator-plain-00000000000003"

_FIELD = re.compile(r"\{\{(\w+)\.DATA\}\}")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_CLOCK = r"\d{1,2}:\d{2}(:\d{2})?"
_DATE = r"\d{4}(-\d{1,2}-\d{1,2}|年\d{1,2}月\d{1,2}日|/\d{1,2}/\d{1,2})"
_TIME = re.compile(rf"({_DATE})?( ?{_CLOCK})?( ?~ ?({_DATE})?( ?{_CLOCK})?)?")

_CONTENT = "\n".join(
    (
        "标题:{{thing1.DATA}}",
        "内容:{{thing2.DATA}}",
        "级别:{{phrase3.DATA}}",
        "时间:{{time4.DATA}}",
        "来源:{{character_string5.DATA}}",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One template: lines of a label and a field."""

    template_id: str
    title: str
    content: str

    @property
    def fields(self) -> list[str]:
        """Names of its fields, in order."""
        return _FIELD.findall(self.content)

    def rows(self, data: Mapping[str, Mapping[str, object]]) -> list[dict[str, str]]:
        """Label, value and colour of each line that the card shows."""
        shown = []
        for line in self.content.splitlines():
            label, _, name = line.partition("{{")
            value = data.get(name.removesuffix(".DATA}}"), {})
            colour = str(value.get("color", ""))
            shown.append({"label": label.rstrip(":："), "value": str(value.get("value", "")), "color": colour})
        return shown


def seeded() -> dict[str, Template]:
    """Return the templates that a new account has."""
    plain = "{{title.DATA}}\n{{text.DATA}}\n级别:{{level.DATA}}\n时间:{{time.DATA}}"
    return {
        template.template_id: template
        for template in (
            Template(template_id=INFO_TEMPLATE, title="任务通知", content=_CONTENT),
            Template(template_id=WARNING_TEMPLATE, title="告警通知", content=_CONTENT),
            Template(template_id=PLAIN_TEMPLATE, title="测试号模板", content=plain),
        )
    }


def _is_time(value: str) -> bool:
    return bool(value.strip()) and _TIME.fullmatch(value) is not None


def _is_name(value: str) -> bool:
    return len(value) <= 10 if _CHINESE.search(value) else len(value) <= 20


_RULES: Final[Mapping[str, Callable[[str], bool]]] = {
    "thing": lambda value: len(value) <= 20,
    "short_thing": lambda value: len(value) <= 10,
    "number": lambda value: re.fullmatch(r"[+-]?\d+(\.\d+)?", value) is not None and len(value) <= 32,
    "letter": lambda value: re.fullmatch(r"[A-Za-z]{1,32}", value) is not None,
    "symbol": lambda value: len(value) <= 5,
    "character_string": lambda value: len(value) <= 32 and not _CHINESE.search(value),
    "time": _is_time,
    "date": _is_time,
    "amount": lambda value: re.fullmatch(r"[^\d]?\d{1,10}(\.\d+)?元?", value) is not None,
    "phone_number": lambda value: re.fullmatch(r"[\d+()-]{1,17}", value) is not None,
    "car_number": lambda value: len(value) <= 8,
    "name": _is_name,
    "phrase": lambda value: re.fullmatch(r"[\u3400-\u9fff]{1,5}", value) is not None,
}
"""By the type that a field's name begins with. A type that is not here is not looked at."""


def first_fault(template: Template, data: Mapping[str, Mapping[str, object]]) -> tuple[str, str] | None:
    """Return (field, why) of the first field that a category template would refuse with 47003, or None."""
    for name in template.fields:
        value = data.get(name, {}).get("value")
        if not isinstance(value, str) or not value.strip():
            return name, "is empty"
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            return name, "invalid"
        rule = _RULES.get(name.rstrip("0123456789"))
        if rule is not None and not rule(value):
            return name, "invalid"
    return None
