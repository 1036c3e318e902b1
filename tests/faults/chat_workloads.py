"""Workloads that reach the failpoints of conversations; see `workloads.py`."""

from __future__ import annotations

import hashlib

from accounts.models import AuditEntry, ChatIdentity, User
from accounts.services.identities import ChatAddress, meet_identity
from agents.models import Agent
from chat.adapters.receiving import Incoming, receive, welcome
from chat.commands.jobs import take_numbered_action
from chat.commands.registry import line_of
from chat.models import CodeKind, InboundMessage, InboundState, Invitation, OneTimeCode
from chat.services.codes import approve_login, begin_login, collect_login, new_bind_code, take_bind_code
from chat.services.invitations import reward_invitation
from chat.services.later import answer_put_off
from jobs.models import Job
from kernel.ids import new_id
from kernel.transactions import run_one
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.models import DeliveryState, Message, MessageAction
from tests.factories import make_agent, make_user
from tests.faults.journal import Journal


def _identity() -> ChatIdentity:
    identity, _new = meet_identity(ChatAddress(platform="wechat", account="us", external_id=new_id()))
    welcome(identity)
    return identity


def _said(identity: ChatIdentity, text: str, key: str) -> str:
    address = ChatAddress(platform="wechat", account="us", external_id=identity.external_id)
    return receive(Incoming(address=address, key=key, text=text)).text


def use_codes(journal: Journal) -> None:
    """Create a code twice, use it once, and try it again."""
    owner, browser = make_user(f"u{new_id()}"), new_id()
    for _ in range(2):
        code = new_bind_code(owner=owner)
        journal.note("code", owner=owner.pk)
    journal.note("using", owner=owner.pk)
    assert take_bind_code(code=code, place=new_id()) == owner
    journal.note("used", code=code)
    for _ in range(2):
        offer = begin_login(browser=browser)
    assert approve_login(code=offer.code, owner=owner, place=new_id())
    journal.note("let in", owner=owner.pk, browser=browser)
    assert collect_login(browser=browser) == owner
    journal.note("collected", browser=browser)


def hear_one(journal: Journal) -> None:
    """A line that has an effect and is delivered twice."""
    identity, key = _identity(), new_id()
    journal.note("says", owner=identity.owner_id, key=key)
    first = _said(identity, "agent add nas", key)
    journal.note("received", owner=identity.owner_id, key=key)
    assert _said(identity, "agent add nas", key) == first


def answer_later(journal: Journal) -> None:
    """A line whose answer is deferred, and is given twice."""
    identity = _identity()
    assert not _said(identity, "poster", new_id())
    row = InboundMessage.objects.get(identity=identity)
    journal.note("put off", id=row.pk, owner=identity.owner_id)
    answer_put_off(row.pk)
    journal.note("answered", id=row.pk)
    answer_put_off(row.pk)


def invite_one(journal: Journal) -> None:
    """A person joins through an invitation."""
    inviter, invited = (make_user(f"u{new_id()}") for _ in range(2))
    journal.note("invites", inviter=inviter.pk, invited=invited.pk)
    assert reward_invitation(inviter_id=inviter.pk, invited=invited)
    journal.note("invited", invited=invited.pk)


def choose_one(journal: Journal) -> None:
    """A message with choices, and the reply that chooses one."""
    identity = _identity()
    agent = make_agent(owner=identity.owner, name="nas")
    action = ActionRequest(label="again", agent="nas", text="date")
    message = run_one(accept_messages, NewMessage(owner_id=identity.owner_id, text="hello", actions=(action,)))
    message.deliveries.update(state=DeliveryState.SENT)
    journal.note("offers", message=message.pk, agent=agent.pk)
    line = line_of(identity, "1", message_id=new_id())
    assert take_numbered_action(line, identity.owner, 1) is not None
    job = Job.objects.get(agent=agent)
    journal.note("submit", key=None, agent=agent.pk, message=job.message, status=201, id=job.pk)


def find_losses(lines: list[dict[str, str]]) -> list[str]:
    """Return the lines that the database does not confirm, and half-done work."""
    using = {line["owner"] for line in lines if line["do"] == "using"}
    found = [f"lost: {line}" for line in lines if not _is_kept(line, using)]
    for browser in OneTimeCode.objects.exclude(browser_digest="").values_list("browser_digest", flat=True).distinct():
        if OneTimeCode.objects.filter(browser_digest=browser).count() != 2:
            found.append("a browser has one way in, not two")
    return found


def _is_kept(line: dict[str, str], using: set[str]) -> bool:
    match line["do"]:
        case "code":
            open_codes = OneTimeCode.objects.filter(owner_id=line["owner"], kind=CodeKind.BIND).count()
            return open_codes == 1 or (line["owner"] in using and not open_codes)
        case "used":
            return take_bind_code(code=line["code"], place=new_id()) is None
        case "let in":
            return AuditEntry.objects.filter(action="login.approve", subject=f"user:{line['owner']}").count() == 1
        case "collected":
            return collect_login(browser=line["browser"]) is None
        case "says":
            return _is_received(line["key"]) == Agent.objects.filter(owner_id=line["owner"], names__key="nas").exists()
        case "received":
            return _is_received(line["key"])
        case "put off":
            answered = InboundMessage.objects.get(pk=line["id"]).state == InboundState.ANSWERED
            return Message.objects.filter(owner_id=line["owner"]).count() == answered
        case "answered":
            return InboundMessage.objects.get(pk=line["id"]).state == InboundState.ANSWERED
        case "invites":
            rows = User.objects.filter(pk__in=[line["inviter"], line["invited"]])
            rewarded = Invitation.objects.filter(invited_id=line["invited"]).exists()
            noted = AuditEntry.objects.filter(action="invitation", subject=f"user:{line['inviter']}").exists()
            return {user.bonus_agents for user in rows} == {int(rewarded)} and noted == rewarded
        case "invited":
            return Invitation.objects.filter(invited_id=line["invited"]).exists()
        case "offers":
            taken = MessageAction.objects.get(message_id=line["message"]).taken_at is not None
            noted = AuditEntry.objects.filter(action="action.take", subject=f"message:{line['message']}").count()
            return Job.objects.filter(agent_id=line["agent"]).count() == noted == taken
        case _:
            return True


def _is_received(key: str) -> bool:
    digest = hashlib.sha256("\n".join(("wechat", "us", key)).encode()).hexdigest()
    return InboundMessage.objects.filter(digest=digest).exists()
