"""Values that scripts keep between runs: any bytes by name, with conditional writes by ETag."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from accounts.models import User
from jobs.models import StateEntry
from jobs.store import service
from jobs.store.service import Condition, delete_state, etag_of, read_state, write_state
from kernel.errors import AppError, NotFound, PreconditionFailed
from tests.api.people import Answer, Person
from tests.factories import make_user

LIMIT = 64 * 1024
ANY_TYPE = "application/octet-stream"


def _put(person: Person, content: bytes, *, name: str = "last", token: str = "", **headers: str) -> Answer:
    """PUT a value; headers by name with _ for -."""
    sent = {key.replace("_", "-"): value for key, value in {"Content_Type": ANY_TYPE, **headers}.items()}
    return person.api("PUT", f"/state/{name}", token=token or person.full, raw=content, headers=sent)


def test_any_bytes_are_kept_as_they_came(alice: Person) -> None:
    contents = [b"x", b"", bytes(range(256)), "少年宫 周六 3 个".encode(), b'{"a": 1}', b"\x00" * LIMIT]
    for number, content in enumerate(contents):
        assert _put(alice, content).status == (204 if number else 201)
        read = alice("GET", "/state/last")
        assert read.headers["content-type"] == ANY_TYPE
        assert (read.body or b"") == content
        assert int(read.headers["content-length"]) == len(content)
        assert read.headers["cache-control"] == "no-store"
        assert read.headers["x-content-type-options"] == "nosniff"


def test_more_than_64_kib_is_413_and_changes_nothing(alice: Person) -> None:
    assert _put(alice, b"x").status == 201
    refused = _put(alice, b"y" * (LIMIT + 1))
    assert (refused.status, refused.body["error"]) == (413, "TooLarge")
    assert bytes(StateEntry.objects.get().content) == b"x"


def test_names(alice: Person) -> None:
    good = ("a", "A.b_c-9", "x" * 100)
    bad = ("x" * 101, "a%20b", "%E5%BA%97", "a~", "a%0A")
    elsewhere = ("", "a/b")
    for names, status in ((good, 201), (bad, 400), (elsewhere, 404)):
        for name in names:
            assert alice.api("PUT", f"/state/{name}", {}, token=alice.full).status == status, name
    for method in ("GET", "DELETE"):
        assert alice(method, "/state/a~").status == 400
        assert alice(method, "/state/absent").body["error"] == "NotFound"


def test_conditions_decide(alice: Person) -> None:
    """Each row: method, headers, status and the value after it."""
    first = _put(alice, b"one").headers["etag"]
    rows = [
        ("GET", {"If-None-Match": first}, 304, b"one"),
        ("GET", {"If-None-Match": f"W/{first}"}, 304, b"one"),
        ("GET", {"If-None-Match": "*"}, 304, b"one"),
        ("GET", {"If-None-Match": '"other"'}, 200, b"one"),
        ("PUT", {"If-None-Match": "*"}, 412, b"one"),
        ("PUT", {"If-None-Match": first}, 412, b"one"),
        ("PUT", {"If-Match": '"other"'}, 412, b"one"),
        ("PUT", {"If-Match": f"W/{first}"}, 412, b"one"),
        ("PUT", {"If-Match": first.strip('"')}, 400, b"one"),
        ("PUT", {"If-None-Match": "absent"}, 400, b"one"),
        ("PUT", {"If-Match": ""}, 400, b"one"),
        ("DELETE", {"If-Match": '"other"'}, 412, b"one"),
        ("PUT", {"If-Match": f'"other", {first}'}, 204, b"two"),
        ("PUT", {"If-Match": first}, 412, b"two"),
        ("DELETE", {"If-Match": first}, 412, b"two"),
        ("PUT", {"If-Match": "*"}, 204, b"two"),
        ("DELETE", {"If-Match": "*"}, 204, None),
        ("DELETE", {"If-Match": first}, 404, None),
        ("GET", {"If-None-Match": first}, 404, None),
        ("PUT", {"If-Match": "*"}, 412, None),
        ("PUT", {"If-None-Match": "*"}, 201, b"two"),
        # The new entry has another ETag than the deleted one.
        ("PUT", {"If-Match": first}, 412, b"two"),
    ]  # fmt: skip
    wrong = []
    for method, headers, status, there in rows:
        sent = b"two" if method == "PUT" else b""
        answer = alice.api(method, "/state/last", token=alice.full, headers=headers, raw=sent)
        entry = StateEntry.objects.first()
        if answer.status != status or (bytes(entry.content) if entry else None) != there:
            wrong.append((method, headers, status, answer))
        if answer.status == 304:
            assert answer.headers["etag"] == first
            assert answer.body is None
        if answer.status == 412:
            assert answer.body["error"] == "PreconditionFailed"
    assert wrong == []


def test_etag_of_a_write_is_the_one_that_is_read(alice: Person) -> None:
    for _time in range(3):
        written = _put(alice, b"same").headers["etag"]
        assert alice("GET", "/state/last").headers["etag"] == written
        (listed,) = alice("GET", "/state").body["items"]
        assert listed["etag"] == written
    assert listed["version"] == 3


def test_an_agent_for_itself_has_its_own_part(alice: Person) -> None:
    first, second = alice.add_agent(), alice.add_agent()
    assert _put(alice, b"secret").status == 201
    for agent in (first, second):
        assert alice.api("GET", "/state/last", token=agent.token).status == 404
        assert alice.api("DELETE", "/state/last", token=agent.token).status == 404
        assert alice.api("GET", "/state", token=agent.token).body["items"] == []
        assert _put(alice, agent.id.encode(), token=agent.token).status == 201
        assert alice.api("GET", "/state/last", token=agent.token).body == agent.id.encode()
        (listed,) = alice.api("GET", "/state", token=agent.token).body["items"]
        assert listed["name"] == "last"
        assert alice.api("GET", f"/state/{first.id}.last", token=second.token).status == 404
        assert alice("GET", f"/state/{agent.id}.last").body == agent.id.encode()
        too_long = alice.api("PUT", f"/state/{'x' * 64}", token=agent.token, raw=b"x")
        assert too_long.status == 400
        assert "63" in too_long.body["message"]
    assert alice("GET", "/state/last").body == b"secret"
    assert alice.api("DELETE", "/state/last", token=first.token).status == 204
    assert alice("GET", f"/state/{second.id}.last").status == 200


def test_agents_keep_for_their_owner(alice: Person, charlie: Person) -> None:
    agent, other = alice.add_agent(acts_for_owner=True), charlie.add_agent(acts_for_owner=True)
    assert _put(alice, b"by hand").status == 201
    assert alice.api("GET", "/state/last", token=agent.token).body == b"by hand"
    assert _put(alice, b"1", token=agent.token).status == 204
    assert alice.api("GET", "/state/last", token=alice.jobs).body == b"1"
    for token in (charlie.full, other.token):
        assert alice.api("GET", "/state/last", token=token).status == 404
        assert alice.api("DELETE", "/state/last", token=token).status == 404
        assert alice.api("GET", "/state", token=token).body == {"items": [], "next": None}
    assert _put(charlie, b"2").status == 201
    assert alice("GET", "/state/last").body == b"1"
    assert alice.api("GET", "/state/last", token=alice.messages).status == 403


def test_list_is_paged_and_has_no_content(alice: Person) -> None:
    for number in range(5):
        _put(alice, b"\xff" * number, name=f"n{number}")
    first = alice("GET", "/state?limit=3").body
    second = alice("GET", f"/state?limit=3&cursor={first['next']}").body
    assert second["next"] is None
    assert [(one["name"], one["size_bytes"]) for one in first["items"] + second["items"]] == [
        (f"n{number}", number) for number in (4, 3, 2, 1, 0)
    ]
    assert "content" not in first["items"][0]


def test_an_invalid_content_type_is_returned_as_bytes(alice: Person) -> None:
    for sent, given in (
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/html", "text/html"),
        ("text", "application/octet-stream"),
        ("text/plain\u00e9", "application/octet-stream"),
        ("a/" + "b" * 100, "application/octet-stream"),
    ):
        assert _put(alice, b"x", Content_Type=sent).status in (201, 204)
        read = alice("GET", "/state/last")
        assert read.headers["content-type"] == given
        assert read.headers["content-disposition"] == "attachment"


def test_entries_and_bytes_of_an_owner_are_limited(
    alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ENTRIES_LIMIT", 2)
    assert [_put(alice, b"x", name=name).status for name in ("a", "b", "c", "a")] == [201, 201, 409, 204]
    refused = _put(alice, b"x", name="c")
    assert refused.body["error"] == "StateLimit"
    assert "2" in refused.body["message"]
    assert _put(charlie, b"x", name="c").status == 201
    assert alice("DELETE", "/state/a").status == 204
    assert _put(alice, b"x", name="c").status == 201


def _at_once(owner: User, condition: Condition) -> list[bytes]:
    """Let 16 threads write with the same condition at the same time; return the values that were accepted."""
    gate = Barrier(16)

    def write(number: int) -> bytes | None:
        content = b"%d" % number
        try:
            connection.ensure_connection()
            gate.wait(10)
            write_state(owner_id=owner.pk, name="last", content=content, content_type="", condition=condition)
        except PreconditionFailed:
            return None
        finally:
            connection.close()
        return content

    with ThreadPoolExecutor(16) as threads:
        return [content for content in threads.map(write, range(16)) if content is not None]


@pytest.mark.django_db(transaction=True)
def test_of_sixteen_that_know_the_same_one_gets_through() -> None:
    owner = make_user()
    for _round in range(3):
        (winner,) = _at_once(owner, Condition(none_match=frozenset("*")))
        entry = read_state(owner_id=owner.pk, name="last")
        assert (bytes(entry.content), entry.version) == (winner, 1)
        (winner,) = _at_once(owner, Condition(match=frozenset({etag_of(entry)})))
        entry = read_state(owner_id=owner.pk, name="last")
        assert (bytes(entry.content), entry.version) == (winner, 2)
        delete_state(owner_id=owner.pk, name="last", condition=Condition())


@pytest.mark.django_db(transaction=True)
def test_sixteen_that_ask_for_nothing_all_get_through() -> None:
    owner = make_user()
    written = _at_once(owner, Condition())
    assert len(written) == 16
    entry = read_state(owner_id=owner.pk, name="last")
    assert entry.version == 16
    assert bytes(entry.content) in written


@pytest.mark.django_db(transaction=True)
def test_counter_of_many_loses_nothing() -> None:
    """Each thread reads, adds one and writes with the ETag that it read, until it succeeds."""
    owner = make_user()

    def count(_worker: int) -> None:
        try:
            for _time in range(3):
                while not _add_one(owner):
                    pass
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(4)))
    entry = read_state(owner_id=owner.pk, name="n")
    assert (bytes(entry.content), entry.version) == (b"12", 12)


def _add_one(owner: User) -> bool:
    try:
        entry = read_state(owner_id=owner.pk, name="n")
        condition, value = Condition(match=frozenset({etag_of(entry)})), int(bytes(entry.content)) + 1
    except NotFound:
        condition, value = Condition(none_match=frozenset("*")), 1
    try:
        write_state(owner_id=owner.pk, name="n", content=b"%d" % value, content_type="", condition=condition)
    except AppError:
        return False
    return True


def test_bytes_and_etags_travel_through_the_gateway(live_alice: Person) -> None:
    agent = live_alice.add_agent(acts_for_owner=True)
    text, name = "少年宫 周六 3 个\n", agent.name
    written = _put(live_alice, text.encode(), name=name, token=agent.token, If_None_Match="*")
    assert written.status == 201
    read = live_alice("GET", f"/state/{name}")
    assert (read.body, read.headers["etag"]) == (text, written.headers["etag"])
    unchanged = live_alice("GET", f"/state/{name}", headers={"If-None-Match": read.headers["etag"]})
    assert (unchanged.status, unchanged.body) == (304, None)
    assert _put(live_alice, b"x", name=name, If_None_Match="*").status == 412
    assert _put(live_alice, b"x" * (LIMIT + 1), name=name).status == 413
    assert live_alice("DELETE", f"/state/{name}").status == 204
