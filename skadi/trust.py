"""Open the state folder so that no other user can have put, or can put, anything into it.

The files of the folder are trusted: `job.json` names the command that a shim runs. So the folders above it, the folder
itself and all files in it must belong to the agent's user or to root, and no other user may be able to write to them.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat

DEPTH = 3  # jobs/ID/FILE
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Distrust(Exception):
    """Another user could have written here. The text says whose the file is and what to do."""


def open_state_folder(path: str) -> int:
    """Return a descriptor of a state folder that can be trusted, with all that is in it. Raises Distrust and OSError.

    `path` has no symbolic links. Each folder is opened in the one above it and checked through its descriptor, so none
    can be exchanged in between.
    """
    descriptor = os.open("/", OPEN_FOLDER)
    checked = "/"
    try:
        _check(os.fstat(descriptor), checked, above=path != "/")
        for name in path.split("/")[1:]:
            checked = os.path.join(checked, name)
            below = os.open(name, OPEN_FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
            _check(os.fstat(descriptor), checked, above=checked != path)
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o700)  # only after the check: who could write here before has left something
        _check_content(descriptor, path, DEPTH)
    except (OSError, Distrust):
        os.close(descriptor)
        raise
    return descriptor


def open_trusted(name: str, folder: int) -> int:
    """Return a descriptor for reading a file in an open folder. Raises Distrust and OSError."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    try:
        _check(os.fstat(descriptor), name)
    except Distrust:
        os.close(descriptor)
        raise
    return descriptor


def _check_content(folder: int, path: str, depth: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            inside = os.path.join(path, entry.name)
            try:
                _check(entry.stat(follow_symlinks=False), inside)
                if depth > 1 and entry.is_dir(follow_symlinks=False):
                    below = os.open(entry.name, OPEN_FOLDER, dir_fd=folder)
                    try:
                        _check_content(below, inside, depth - 1)
                    finally:
                        os.close(below)
            except FileNotFoundError:
                continue  # a shim of the last run renames its files


def _check(status: os.stat_result, path: str, above: bool = False) -> None:
    """Raise Distrust if another user owns a file or could write to it. `above` says that it is a folder above ours.

    There the sticky bit is enough, because other users cannot replace our folder then, and so is our private group.
    """
    if stat.S_ISLNK(status.st_mode):
        raise Distrust(f"{path} is a symbolic link: remove it")
    if status.st_uid not in (0, os.geteuid()):
        me = _user_name(os.geteuid())
        raise Distrust(
            f"{path} belongs to {_user_name(status.st_uid)}, who could have put jobs into it: "
            f"look into it, then run: chown -R {me} {path}"
        )
    writable = status.st_mode & 0o022
    if above and (status.st_mode & stat.S_ISVTX or (writable == 0o020 and _is_private(status.st_gid))):
        return
    if writable:
        others = "every user" if writable & 0o002 else f"the group {_group_name(status.st_gid)}"
        raise Distrust(f"{path} can be written by {others}: look into it, then run: chmod go-w {path}")


def _is_private(gid: int) -> bool:
    """Return whether a group has the name of the agent's user and no other member, as many systems create it."""
    try:
        group = grp.getgrgid(gid)
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
