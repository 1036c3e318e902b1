"""Bodies of `/messages` and `/channels`: an unknown field is refused by name, and a wrong item by its position."""

from __future__ import annotations

import pytest

from notifications.models import Message
from tests.api.people import Person

_HOOK = {"name": "hook", "driver": "webhook", "settings": {"url": "https://hooks.example.com/x"}}


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/messages", {"text": "x", "titel": "y"}, "titel is not a field here. Did you mean title?"),
        ("/messages", {"text": "x", "qqq": 1}, "qqq is not a field here."),
        (
            "/messages",
            {"text": "x", "actions": [{"label": "a", "agent": "b", "message": "c", "onec": True}]},
            "actions[0].onec is not a field here. Did you mean actions[0].once?",
        ),
        ("/channels", {**_HOOK, "level": ["info"]}, "level is not a field here. Did you mean levels?"),
        ("/messages", {"text": "x", "y" * 3000: 1}, f"{'y' * 50} is not a field here."),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_known_one(
    alice: Person, path: str, body: dict[str, object], sentence: str
) -> None:
    refused = alice("POST", path, body)
    assert (refused.status, refused.body["error"], refused.body["message"]) == (400, "InvalidRequest", sentence)
    assert not Message.objects.exists()


def test_an_unknown_field_of_a_change_is_refused(alice: Person) -> None:
    channel = alice("POST", "/channels", _HOOK).body
    refused = alice("PATCH", f"/channels/{channel['id']}", {"enable": False})
    assert refused.status == 400
    assert refused.body["message"] == "enable is not a field here. Did you mean enabled?"
    assert alice("GET", f"/channels/{channel['id']}").body["enabled"]


def test_the_calls_of_the_original_ignore_unknown_fields(alice: Person) -> None:
    alice("POST", "/channels", _HOOK)
    assert alice("POST", "/message/info", {"message": "x", "titel": "y"}).status == 201


@pytest.mark.parametrize("field", ["fallback", "channels", "mentions"])
@pytest.mark.parametrize("item", [["x"], {"x": 1}, None, 7, True])
def test_a_wrong_item_of_a_list_is_refused_with_its_position(alice: Person, field: str, item: object) -> None:
    refused = alice("POST", "/messages", {"text": "x", field: ["good", item]})
    assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
    assert refused.body["message"].startswith(f"{field}[1] must be text")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"text": "x", "actions": ["restart"]}, "actions[0]"),
        ({"text": "x", "actions": [[]]}, "actions[0]"),
        ({"text": "x", "actions": [{"label": [], "agent": "b", "message": "c"}]}, "actions[0].label"),
        ({"text": "x", "actions": {"label": "a"}}, "actions"),
        ({"text": "x", "fallback": "mail"}, "fallback"),
        ({"text": "x", "level": ["info"]}, "level"),
        ({"text": ["x"]}, "text"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_path(alice: Person, body: dict[str, object], where: str) -> None:
    refused = alice("POST", "/messages", body)
    assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
    assert refused.body["message"].startswith(f"{where} ")


@pytest.mark.parametrize("levels", [[["info"]], [{"x": 1}], ["info", None]])
def test_a_wrong_level_of_a_channel_is_refused(alice: Person, levels: list[object]) -> None:
    refused = alice("POST", "/channels", {**_HOOK, "levels": levels})
    assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
    assert refused.body["message"].startswith("levels[")


def test_a_wrong_tag_of_an_agent_is_refused_with_its_position(alice: Person) -> None:
    refused = alice("POST", "/agents", {"name": "box", "tags": ["good", ["x"]]})
    assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
    assert refused.body["message"].startswith("tags[1]")


@pytest.mark.parametrize("clock", ["25:00", "noon", 22, None, "22:30+25:00"])
def test_a_wrong_time_of_day_is_refused(alice: Person, clock: object) -> None:
    channel = alice("POST", "/channels", _HOOK).body
    refused = alice("PATCH", f"/channels/{channel['id']}", {"quiet_from": clock, "quiet_until": "07:00"})
    assert (refused.status, refused.body["error"]) == (400, "InvalidRequest")
    good = alice("PATCH", f"/channels/{channel['id']}", {"quiet_from": "22:30", "quiet_until": "07:00"})
    assert (good.body["quiet_from"], good.body["quiet_until"]) == ("22:30", "07:00")
