"""Rules for the names, aliases and tags of agents (docs: the HTTP API of existing clients)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from agents.models import NAME_LENGTH
from kernel.names import NameRule
from kernel.text import name_key

# The words are listed in one text because a list of quoted words would fill three screens.
RESERVED = frozenset(
    map(
        name_key,
        """
        agent delay status help group plan poster link unlink follow unfollow sub unsub token 帮助 状态 延迟 绑定 解绑
        login bind menu cancel 取消 me quota channel queue agents jobs job h ? all
        unbind yes no confirm 是的 确认 lang language 语言 令牌 代理 任务 任务列表 登录 我的 额度 海报 schedule 定时
        """.split(),  # noqa: SIM905
    )
)
SHORTEST_NAME = 2
_NAME = NameRule(
    shortest=SHORTEST_NAME,
    longest=NAME_LENGTH,
    longest_key=150,
    wrong_length=_("A name has 2 to %(limit)s characters."),
    wrong_character=_("A name has no white space and no invisible characters."),
    may_be_id=False,
    reserved=RESERVED,
    is_reserved=_("The name %(name)s is a word of the commands. Choose another."),
)
_TAG = NameRule(
    longest=NAME_LENGTH,
    wrong_length=_("A tag has 1 to %(limit)s characters."),
    wrong_character=_("A tag has no white space and no invisible characters."),
)


def checked_tag(tag: str) -> str:
    """Return a tag in the form in which it is stored and compared; raise InvalidRequest that says what is wrong."""
    return _TAG.check_key(tag)


def checked_key(name: str) -> str:
    """Return the form in which a name or alias is compared; raise InvalidRequest that says what is wrong."""
    return _NAME.check_key(name)
