"""Rules for the name and the alias of an agent (docs: the HTTP API of existing clients)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from agents.models import NAME_LENGTH
from kernel.errors import InvalidRequest
from kernel.ids import is_id
from kernel.text import name_key, unstorable_character

# A list of words in quotes would be three screens wide (SIM905).
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
_KEY_LENGTH = 150


def checked_tag(tag: str) -> str:
    """Return a tag as it is kept; raise InvalidRequest for one that may not be used.

    A tag has 1 to 50 characters, no white space and no control character; its case and width do not matter.
    """
    key = name_key(tag)
    if not key or len(tag) > NAME_LENGTH or len(key) > NAME_LENGTH:
        raise InvalidRequest(_("A tag has 1 to %(limit)s characters."), params={"limit": NAME_LENGTH})
    if unstorable_character(key) or not key.isprintable() or key.split() != [key]:
        raise InvalidRequest(_("A tag has no white space and no invisible characters."))
    return key


def checked_key(name: str) -> str:
    """Return the comparison key of a name that may be used; raise InvalidRequest that says what is wrong with it.

    A name has 2 to 50 characters, no white space, no control character, is no reserved word and not shaped like an id.
    """
    key = name_key(name)
    if len(name) < 2 or len(key) < 2 or len(name) > NAME_LENGTH or len(key) > _KEY_LENGTH:
        raise InvalidRequest(_("A name has 2 to %(limit)s characters."), params={"limit": NAME_LENGTH})
    if unstorable_character(name) or not name.isprintable() or name.split() != [name] or key.split() != [key]:
        raise InvalidRequest(_("A name has no white space and no invisible characters."))
    if key in RESERVED:
        raise InvalidRequest(_("The name %(name)s is a word of the commands. Choose another."), params={"name": name})
    if is_id(key):
        raise InvalidRequest(_("A name must not look like an id."))
    return key
