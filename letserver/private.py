"""Files for this user alone: the umask of every process, and the check of the data folder that each start makes.

The folder may have existed before, open to others. Then others may have put files or links into it, so that a start
which only changed the modes would trust what they planted.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_UMASK = 0o077
_OTHERS = 0o077
# The demo agent checks its own state; the commands that it ran may have left files of other users below.
_AGENT = "agent"
# Made by root at the root of a file system, for root alone.
_OF_THE_FILE_SYSTEM = "lost+found"


class NotOurs(Exception):
    """A path of the data folder cannot be trusted. The error says whose it is and the way out, in both languages."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(english)
        self.chinese = chinese
        self.english = english


@dataclass(frozen=True, slots=True, kw_only=True)
class Tightened:
    """The folder's mode before, and the number of paths (the folder included) that others could use until now."""

    mode: int
    count: int


def make_files_private() -> None:
    """Let every file that this process and its children make be for this user alone."""
    os.umask(_UMASK)


def claim_folder(folder: Path) -> Tightened | None:
    """Make the folder if it is missing; take the rights of others away; return None if they had none.

    Raises NotOurs, before it changes anything, if the folder or a path in it belongs to another user, if a path in it
    is a link, or if the folder is one that all users share. Raises OSError if the disk refuses.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_shared(folder)
    refuse_foreign(folder)
    _trusted_modes(folder)
    mode = stat.S_IMODE(folder.stat().st_mode)
    count = int(mode & _OTHERS != 0)
    if mode != 0o700:
        folder.chmod(0o700)
    # Looked at again, now that no one else can change it: a path may have been planted after the first look.
    for path, before in _trusted_modes(folder):
        if before & _OTHERS:
            with suppress(FileNotFoundError):
                path.chmod(before & ~_OTHERS)
                count += 1
    return Tightened(mode=mode, count=count) if count else None


def refuse_foreign(path: Path) -> None:
    """Raise NotOurs if the path, or the link that it is, belongs to another user."""
    for found in (path.lstat(), path.stat()):
        if found.st_uid != os.geteuid():
            raise _foreign(path, found.st_uid)


def _trusted_modes(folder: Path) -> list[tuple[Path, int]]:
    """Return every path below with its mode; raise NotOurs for the first that another user owns or that is a link."""
    modes = []
    for path in _below(folder):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue  # a running instance removes the journals of SQLite
        if found.st_uid != os.geteuid():
            raise _foreign(path, found.st_uid)
        if stat.S_ISLNK(found.st_mode):
            raise NotOurs(
                f"{path} 是符号链接，数据目录中不接受链接；请删除它，或用 LETSERVER_DATA 换一个目录。",
                f"{path} is a symbolic link. The data folder takes none: "
                "remove it, or choose another folder with LETSERVER_DATA.",
            )
        modes.append((path, stat.S_IMODE(found.st_mode)))
    return modes


def _below(folder: Path) -> Iterator[Path]:
    """Yield what is in the folder, a folder before its contents, except below the folders of `agent`."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        if here == folder and _OF_THE_FILE_SYSTEM in folders:
            folders.remove(_OF_THE_FILE_SYSTEM)
        yield from (here / name for name in sorted((*folders, *files)))
        if here == folder / _AGENT:
            folders.clear()


def _refuse_shared(folder: Path) -> None:
    resolved = folder.resolve()
    if resolved == Path(resolved.anchor) or folder.stat().st_mode & stat.S_ISVTX:
        raise NotOurs(
            f"{folder} 是所有用户共用的目录；请用 LETSERVER_DATA 指定一个只属于 LetServer 的目录。",
            f"All users share {folder}: point LETSERVER_DATA to a folder of its own.",
        )


def _foreign(path: Path, owner: int) -> NotOurs:
    whose, ours = _user(owner), _user(os.geteuid())
    return NotOurs(
        f"{path} 属于用户 {whose}，而 LetServer 以 {ours} 运行；请改用该用户运行，"
        f"或检查内容后执行 chown -R {ours} 于数据目录，或用 LETSERVER_DATA 换一个目录。",
        f"{path} belongs to {whose}, and LetServer runs as {ours}: run it as that user, "
        f"or look at the contents and then chown -R {ours} the data folder, or choose another with LETSERVER_DATA.",
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
